//! The first start: data, key, an administrator and a token to begin with. They are
//! shown once on a terminal; where nobody looks, they go to a file that only the
//! owner can read, so that no log ever holds them.

use super::{data, master};
use crate::base::{AccountName, SecretText, random};
use crate::cli::admin::{self, Reply, Request, TokenOrder};
use crate::cli::{Failure, args, output, password};
use crate::config::{Loaded, Settings};
use crate::domain::Services;
use crate::domain::upkeep::Watch;
use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;

/// Letters and digits that are not mistaken for each other.
const PASSWORD_ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
const PASSWORD_CHARS: usize = 20;

/// What the first administrator needs to begin.
pub(super) struct FirstLogin {
    name: AccountName,
    /// `None`: the administrator chose it and knows it.
    password: Option<SecretText>,
    token: SecretText,
}

/// `keywayd init`
pub(super) fn init(loaded: &Loaded, asked: &args::Init) -> Result<(), Failure> {
    let settings = &loaded.settings;
    let interactive = asked.password_stdin || io::stdin().is_terminal();
    // Asked for first: an abandoned prompt leaves nothing behind.
    let exists = data::directory(settings).has_database().unwrap_or(false);
    let chosen = if interactive && !exists { Some(password::obtain(asked.password_stdin)?) } else { None };
    // A refusal must come before there is a database that is in the next attempt's way.
    chosen.as_ref().map(Services::check_new_password).transpose()?;
    super::serve::runtime()?.block_on(async {
        let services = data::create(settings, None)?;
        let first = set_up(&services, asked.admin.clone(), chosen).await?;
        services.close().await;
        announce(settings, &first)
    })?;
    output::words("\nstart the server with `keywayd serve`");
    Ok(())
}

/// Makes the administrator and the token.
pub(super) async fn set_up(
    services: &Services,
    name: AccountName,
    chosen: Option<SecretText>,
) -> Result<FirstLogin, Failure> {
    let generated =
        chosen.is_none().then(|| SecretText::new(random::text(PASSWORD_ALPHABET, PASSWORD_CHARS)));
    let password = chosen.or_else(|| generated.clone()).unwrap_or_default();
    services.note_initialised().await?;
    services.add_account(name.clone(), true, Some(password)).await?;
    let order = TokenOrder::unlimited(name.clone(), "first login");
    match admin::execute(services, Request::CreateToken(order), Watch::nobody().at_full_speed()).await? {
        Reply::Token { token, .. } => Ok(FirstLogin { name, password: generated, token: token.0 }),
        _ => Err(Failure::ours("minting a token gave something else")),
    }
}

/// Hands the administrator what is needed to begin.
pub(super) fn announce(settings: &Settings, first: &FirstLogin) -> Result<(), Failure> {
    let dir = settings.storage.data_dir.display();
    output::words(&format!("made a new appliance in `{dir}`"));
    if output::somebody_looks() {
        output::words(&format!("\nThis is shown only once:\n\n{}", letter(settings, first).expose()));
    } else {
        let path = settings.storage.data_dir.join("first-login");
        let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        written
            .and_then(|mut file| file.write_all(letter(settings, first).expose().as_bytes()))
            .map_err(|error| {
                Failure::user(format!(
                    "cannot write `{}`: {error}\n\nhint: the account `{1}` is there, and nobody knows its \
                     password: `keywayd user passwd {1}` and `keywayd token create --user {1}` give new credentials",
                    path.display(),
                    first.name
                ))
            })?;
        output::words(&format!("account and token are in `{}`; read it, then delete it", path.display()));
    }
    if let Some(key) = master::key_file(settings) {
        output::words(&format!(
            "\nThe master key is `{}`. Without it the data cannot be read by anybody:\n\
             keep a copy in another place, away from the data and its backups.",
            key.display()
        ));
    }
    Ok(())
}

fn letter(settings: &Settings, first: &FirstLogin) -> SecretText {
    let (url, name, token) = (settings.server.public_url.as_str(), &first.name, first.token.expose());
    let password = match &first.password {
        Some(password) => password.expose(),
        None => "(the one you chose)",
    };
    SecretText::new(format!(
        "account:  {name}\n\
         password: {password}\n\
         token:    {token}\n\
         \n\
         Sign in with account and password at {url}\n\
         The token is an API key for programs, which may do whatever the account may. Try it:\n\
         \n  curl -H 'Authorization: Bearer {token}' {url}/v1/users/me\n"
    ))
}
