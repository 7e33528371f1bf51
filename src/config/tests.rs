//! The room as a whole: sources, their order, what is refused and in which words.

use super::*;
use std::collections::HashMap;

/// A world of files and variables.
#[derive(Default)]
struct World {
    files: HashMap<&'static str, &'static str>,
    variables: Vec<(&'static str, &'static str)>,
    overrides: Overrides,
    not_yet: &'static [&'static str],
}

impl World {
    /// Only the default configuration file, with everything supported.
    fn file(text: &'static str) -> Self {
        Self { files: HashMap::from([(DEFAULT_FILE, text)]), ..Self::default() }
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.push((name, value));
        self
    }

    fn load(&self) -> Result<Loaded, Problems> {
        let read = |path: &Path| {
            let text = path.to_str().and_then(|path| self.files.get(path));
            text.map(|text| (*text).to_owned()).ok_or_else(|| io::ErrorKind::NotFound.into())
        };
        let variables = self.variables.iter().map(|(name, value)| (name.into(), value.into()));
        load_with(self.not_yet, &self.overrides, variables, &read)
    }

    fn settings(&self) -> Settings {
        self.load().unwrap_or_else(|problems| panic!("{problems}")).settings
    }

    fn problems(&self) -> Vec<String> {
        let problems = self.load().err().map(|problems| problems.iter().map(ToString::to_string).collect());
        problems.unwrap_or_default()
    }

    /// The one problem there is.
    fn problem(&self) -> String {
        let mut problems = self.problems();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        problems.remove(0)
    }
}

#[test]
fn nothing_set_means_the_defaults_of_the_contract() {
    let settings = World::default().settings();
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:8490");
    assert_eq!(settings.server.public_url.as_str(), "http://127.0.0.1:8490");
    assert_eq!(settings.server.push_body_limit_bytes.bytes(), 8 << 20);
    assert_eq!(settings.server.errors_base_url.as_str(), "https://keyway.sh/errors/");
    assert_eq!(settings.storage.cache_bytes.bytes(), 16 << 20);
    assert_eq!(settings.master_key.source(), KeySource::File(Path::new("./keyway-data/master.key")));
    assert_eq!(settings.rate_limit.general.to_string(), "100/15m");
    let environments: Vec<_> =
        settings.vaults.default_environments.iter().map(|name| name.as_str()).collect();
    assert_eq!(environments, ["local", "development", "staging", "production"]);
    assert_eq!(settings.secrets.value_limit_bytes.bytes(), 65_536);
    assert_eq!(settings.audit.reads, AuditReads::Durable);
    assert!(settings.identity.local.enabled && !settings.identity.github.enabled);
}

#[test]
fn later_sources_win_and_each_value_tells_where_it_is_from() {
    let mut world = World::file(
        "# first\n[server]\nlisten = \"127.0.0.1:1\"\nmax_connections = 7\n[storage]\ndata_dir = \"/a\"\n",
    )
    .with("KEYWAYD_SERVER__LISTEN", "127.0.0.1:2")
    .with("KEYWAYD_STORAGE__DATA_DIR", "/b");
    world.overrides.listen = Some("127.0.0.1:3".parse().unwrap());
    let loaded = world.load().unwrap();
    assert_eq!(loaded.settings.server.listen.port(), 3);
    assert_eq!(loaded.settings.server.public_url.as_str(), "http://127.0.0.1:3");
    assert_eq!(loaded.settings.master_key.file, Path::new("/b/master.key"));
    let origins = [
        ("server.listen", "flag `--listen`"),
        ("server.public_url", "follows `server.listen`"),
        ("server.max_connections", "/etc/keywayd/keywayd.toml:4"),
        ("storage.data_dir", "environment variable `KEYWAYD_STORAGE__DATA_DIR`"),
        ("master_key.file", "follows `storage.data_dir`"),
        ("log.level", "default"),
    ];
    for (key, origin) in origins {
        assert_eq!(loaded.origin(key).to_string(), origin);
    }
}

#[test]
fn the_file_is_the_flags_then_the_environments_then_the_default() {
    let mut world = World::file("[log]\nlevel = \"warn\"\n");
    world.files.insert("/env.toml", "[log]\nlevel = \"error\"\n");
    world.files.insert("/flag.toml", "[log]\nlevel = \"debug\"\n");
    assert_eq!(world.settings().log.level, LogLevel::Warn.into());
    let mut world = world.with("KEYWAYD_CONFIG", "/env.toml");
    assert_eq!(world.settings().log.level, LogLevel::Error.into());
    world.overrides.config = Some("/flag.toml".into());
    assert_eq!(world.settings().log.level, LogLevel::Debug.into());
    assert_eq!(world.load().unwrap().file.as_deref(), Some(Path::new("/flag.toml")));
    assert_eq!(World::default().load().unwrap().file, None);
}

#[test]
fn a_file_that_was_asked_for_must_be_there() {
    let problem = World::default().with("KEYWAYD_CONFIG", "/nowhere.toml").problem();
    assert!(problem.starts_with("environment variable `KEYWAYD_CONFIG`: cannot read"), "{problem}");
    assert!(problem.contains("`/nowhere.toml`") && problem.contains("hint: correct the path"), "{problem}");
}

#[test]
fn everything_wrong_is_told_at_once_in_the_order_of_the_file() {
    let world = World::file(
        "[server]\nlissten = \"x\"\nlisten = \"example.org:80\"\nrequest_timeout_secs = 0\n\
         max_connections = \"many\"\n[secrets]\nversions_kept = 101\n[colours]\nred = 1\n",
    )
    .with("KEYWAYD_LOG__FORMAT", "xml");
    assert_eq!(
        world.problems().join("\n"),
        "/etc/keywayd/keywayd.toml:2: unknown setting `server.lissten`
  hint: did you mean `server.listen`?
/etc/keywayd/keywayd.toml:3: `server.listen`: `example.org:80` is not an address to listen on
  hint: write an IP address and a port, such as `127.0.0.1:8490` or `[::]:8490`; names are not looked up
/etc/keywayd/keywayd.toml:4: `server.request_timeout_secs`: `0` is out of range
  hint: give a value from `1` to `600`
/etc/keywayd/keywayd.toml:5: `server.max_connections`: `many` is not a whole number
  hint: write digits only, without quotes
/etc/keywayd/keywayd.toml:7: `secrets.versions_kept`: `101` is out of range
  hint: give a value from `0` to `100`
/etc/keywayd/keywayd.toml:8: unknown table `colours`
  hint: `keywayd config example` lists all settings
environment variable `KEYWAYD_LOG__FORMAT`: `log.format`: `xml` is not one of the choices
  hint: write one of: `text` `json`"
    );
}

#[test]
fn broken_toml_names_the_line_and_does_not_repeat_it() {
    let problem = World::file("[server]\n\npassword hunter2\n").problems().join("\n");
    assert!(problem.starts_with("/etc/keywayd/keywayd.toml:3: not valid TOML"), "{problem}");
    assert!(!problem.contains("hunter2"), "{problem}");
    assert!(
        World::file("[log]\nlevel = \"info\"\nlevel = \"warn\"\n").problem().contains(":3: not valid TOML")
    );
}

#[test]
fn tables_and_settings_are_not_confused() {
    assert!(World::file("server = 1\n").problem().contains("`server` is a table"));
    assert!(World::file("[[server]]\nlisten = \"127.0.0.1:1\"\n").problem().contains("`server` is a table"));
    assert!(World::file("[server.listen]\nx = 1\n").problem().contains("a table is not an address"));
    assert!(World::file("[server]\n[identity.local]\n").problems().is_empty());
}

#[test]
fn unknown_variables_are_errors_except_those_of_tests() {
    let problem = World::default().with("KEYWAYD_SERVER_PUBLIC_URL", "https://a.example").problem();
    assert!(problem.contains("did you mean `KEYWAYD_SERVER__PUBLIC_URL`?"), "{problem}");
    let problem = World::default().with("KEYWAYD_server__public_url", "https://a.example").problem();
    assert!(problem.contains("did you mean `KEYWAYD_SERVER__PUBLIC_URL`?"), "{problem}");
    assert!(World::default().with("HOME", "/").problems().is_empty());
}

#[test]
fn a_variable_may_name_a_file_that_holds_the_value() {
    let mut world = World::file("[identity.github]\nclient_id = \"id\"\n")
        .with("KEYWAYD_IDENTITY__GITHUB__CLIENT_SECRET_FILE", "/run/secret");
    world.files.insert("/run/secret", "hunter2\n\n");
    let secret = world.settings().identity.github.client_secret.unwrap();
    assert_eq!(secret.expose(), "hunter2\n", "one newline is trimmed, not two");

    let both =
        World::default().with("KEYWAYD_LOG__LEVEL", "info").with("KEYWAYD_LOG__LEVEL_FILE", "/run/level");
    assert!(both.problem().contains("both set"));
    let missing = World::default().with("KEYWAYD_LOG__LEVEL_FILE", "/run/level");
    assert!(missing.problem().contains("cannot read /run/level"));
    let mistaken = World::default().with("KEYWAYD_LOG__LEVEL_FILE", "hunter2");
    assert!(!mistaken.problem().contains("hunter2"));
}

#[test]
fn a_key_that_ends_in_file_is_itself_and_no_name_has_two_readings() {
    let world = World::default().with("KEYWAYD_MASTER_KEY__PASSPHRASE_FILE", "/p");
    assert_eq!(world.settings().master_key.source(), KeySource::PassphraseFile(Path::new("/p")));
    let layers = Layers::new::<Settings>(&[]);
    for key in layers.supported() {
        let stem = key.strip_suffix("_file");
        assert!(!stem.is_some_and(|stem| layers.is_key(stem)), "{key}");
        assert!(!key.contains("__"), "{key}");
    }
}

#[test]
fn lists_in_the_environment() {
    let world = World::default()
        .with("KEYWAYD_VAULTS__DEFAULT_ENVIRONMENTS", "dev, prod")
        .with("KEYWAYD_SERVER__TRUSTED_PROXIES", "[\"10.0.0.0/8\", \"::1\"]");
    let settings = world.settings();
    assert_eq!(settings.vaults.default_environments.len(), 2);
    assert_eq!(settings.server.trusted_proxies[1].to_string(), "::1/128");
}

#[test]
fn other_machines_reach_keywayd_only_as_its_operator_says() {
    let open = World::file("[server]\nlisten = \"0.0.0.0:8490\"\n").problems();
    assert_eq!(open.len(), 2, "{open:#?}");
    assert!(open[0].contains("`server.public_url` is not set"));
    assert!(open[1].contains("plain HTTP that other machines reach"));
    for good in [
        "insecure_http = true\npublic_url = \"http://vault:8490\"",
        "trusted_proxies = [\"10.0.0.1\"]\npublic_url = \"https://vault.example.org/\"",
        "public_url = \"https://vault.example.org\"\ntls.cert = \"/c\"\ntls.key = \"/k\"",
    ] {
        let text: &'static str = format!("[server]\nlisten = \"[::]:8490\"\n{good}\n").leak();
        assert_eq!(World::file(text).problems(), [""; 0], "{good}");
    }
}

#[test]
fn a_wrong_value_causes_no_complaint_about_its_neighbours() {
    let text = "server.listen = \"0.0.0.0:1\"\nserver.public_url = \"https://a.example\"\n\
                server.trusted_proxies = [\"nonsense\"]\n";
    assert!(World::file(text).problem().contains("`nonsense` is not a network"));
}

#[test]
fn rules_between_settings() {
    for (text, complaint) in [
        ("[server]\nbody_limit_bytes = \"16 MiB\"", "`server.body_limit_bytes` (16 MiB) is larger than"),
        (
            "[secrets]\nenvironment_limit_bytes = \"9 MiB\"",
            "`secrets.environment_limit_bytes` (9 MiB) is larger",
        ),
        ("[vaults]\ndefault_environments = []", "is empty"),
        ("[vaults]\ndefault_environments = [\"dev\", \"dev\"]", "has `dev` twice"),
        ("[vaults]\ndefault_environments = [\"Dev\"]", "`Dev` is not the name of an environment"),
        ("[identity.local]\nenabled = false", "nothing else tells who people are"),
        ("[identity.github]\nclient_id = \"x\"", "`identity.github.client_secret` is not"),
        ("[integrations.fly]\nclient_secret = \"x\"", "`integrations.fly.client_id` is not"),
        (
            "[integrations.vercel]\nclient_id = \"x\"\nclient_secret = \"y\"",
            "`integrations.vercel.authorize_url` is not",
        ),
        ("[server.tls]\nkey = \"/k\"", "`server.tls.cert` is not"),
        ("[server.tls]\nredirect_listen = \"0.0.0.0:80\"", "no HTTPS to redirect to"),
        (
            "[server]\npublic_url = \"http://a.example\"\ntls.cert = \"/c\"\ntls.key = \"/k\"",
            "`server.tls.cert` is set",
        ),
        ("[master_key]\nfile = \"/a\"\nenv = \"KEY\"", "`master_key.file` and `master_key.env` are both set"),
        ("[outbound]\ntimeout_secs = 30", "longer than `server.request_timeout_secs` (25)"),
        ("[metrics]\nlisten = \"127.0.0.1:8490\"", "are both `127.0.0.1:8490`"),
        ("[server]\nallowed_origins = [\"*\"]", "`*` is not allowed"),
        ("[server]\npublic_url = \"https://a.example/vault\"", "write only `https://a.example`"),
        ("[backup]\nevery = \"1s\"", "`1s` is out of range"),
        ("[rate_limit]\ngeneral = \"100\"", "`100` is not a quota"),
        ("[audit]\nforward = \"somewhere\"", "`somewhere` is not a place"),
    ] {
        let problem = World::file(text).problem();
        assert!(problem.contains(complaint), "{text}\n{problem}");
    }
}

#[test]
fn the_variable_of_the_master_key_may_have_any_name() {
    let world = World::file("[master_key]\nenv = \"KEYWAYD_ROOT_KEY\"\n").with("KEYWAYD_ROOT_KEY", "00");
    assert_eq!(world.settings().master_key.source(), KeySource::Variable("KEYWAYD_ROOT_KEY"));
}

#[test]
fn settings_that_are_not_built_yet_are_refused() {
    let mut world =
        World::file("[server]\ntls.cert = \"/c\"\n[identity.github]\nenabled = false\n[backup]\nkep = 1\n")
            .with("KEYWAYD_IDENTITY__GITHUB__CLIENT_SECRET_FILE", "/nowhere")
            .with("KEYWAYD_METRICS__LISTEN", "127.0.0.1:1");
    world.not_yet = &["server.tls", "identity.github", "backup", "metrics"];
    let problems = world.problems();
    assert_eq!(problems.len(), 5, "{problems:#?}");
    for (problem, key) in problems.iter().zip([
        "server.tls.cert",
        "identity.github.enabled",
        "backup.kep",
        "identity.github.client_secret",
        "metrics.listen",
    ]) {
        assert!(problem.contains(&format!("`{key}` is not supported by this version")), "{problem}");
    }
}

#[test]
fn every_entry_of_the_list_of_unsupported_settings_names_one() {
    let layers = Layers::new::<Settings>(&[]);
    for path in not_yet::NOT_YET {
        assert!(layers.is_key(path) || layers.is_table(path), "{path}");
    }
}

/// The keys that are not set by default, whose line in the example is only an example.
fn without_default() -> Vec<String> {
    let mut items = Vec::new();
    Settings::default().describe("", &mut items);
    let keys = items.into_iter().filter_map(|item| match item {
        table::Item::Key(key) if key.value.is_none() => Some(key.path),
        _ => None,
    });
    keys.filter(|path| !not_yet::covers(not_yet::NOT_YET, path)).collect()
}

/// Takes the comment signs off the settings of the example that show their default, and
/// lists the keys of the others.
fn uncommented() -> (String, Vec<String>) {
    let (optional, mut left, mut table) = (without_default(), Vec::new(), String::new());
    let mut text = String::new();
    for line in example().lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            table = format!("{name}.");
        }
        match line.strip_prefix('#').and_then(|setting| Some((setting, setting.split_once(" = ")?.0))) {
            Some((setting, key)) if key.starts_with(|first: char| first.is_ascii_lowercase()) => {
                let path = format!("{table}{key}");
                if optional.contains(&path) { left.push(path) } else { text += &format!("{setting}\n") }
            }
            _ => text += &format!("{line}\n"),
        }
    }
    (text, left)
}

#[test]
fn the_example_has_every_setting_and_says_the_defaults() {
    let (text, mut left) = uncommented();
    let world = World { not_yet: not_yet::NOT_YET, ..World::file(text.leak()) };
    let loaded = world.load().unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(format!("{:?}", loaded.settings), format!("{:?}", World::default().settings()));
    let set = loaded.origins.len() + left.len();
    assert_eq!(set, Layers::new::<Settings>(not_yet::NOT_YET).supported_keys(), "the example lacks settings");
    left.sort();
    let mut optional = without_default();
    optional.sort();
    assert_eq!(left, optional);
}

#[test]
fn the_literals_of_the_declaration_can_be_read() {
    let mut items = Vec::new();
    Settings::default().describe("", &mut items);
    for item in items {
        let table::Item::Key(key) = item else { continue };
        if key.value.is_none() {
            let text: &'static str = format!("{} = {}\n", key.path, key.like.expect(&key.path)).leak();
            // What the value needs beside it does not matter here.
            let problems = World::file(text).problems();
            assert!(!problems.iter().any(|problem| problem.contains("is not a")), "{problems:#?}");
        }
        if let Some((low, high)) = key.range {
            for bound in [low, high] {
                let text: &'static str = format!("{} = {bound}\n", key.path).leak();
                let problems = World::file(text).problems();
                assert!(!problems.iter().any(|problem| problem.contains("range")), "{problems:#?}");
            }
        }
    }
}

#[test]
fn what_is_in_force_is_shown_with_its_origins_and_without_secrets() {
    let loaded = World::file("[log]\nformat = \"json\"\n")
        .with("KEYWAYD_SERVER__BODY_LIMIT_BYTES", "2048")
        .load()
        .unwrap();
    let text = loaded.show();
    for line in [
        "[server]",
        "listen = \"127.0.0.1:8490\"  # default",
        "body_limit_bytes = \"2 KiB\"  # environment variable `KEYWAYD_SERVER__BODY_LIMIT_BYTES`",
        "format = \"json\"  # /etc/keywayd/keywayd.toml:2",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    }
    let again = World::file(text.leak()).settings();
    assert_eq!(
        format!("{again:?}"),
        format!("{:?}", loaded.settings),
        "the output is a configuration itself"
    );
    let secret: Option<crate::base::SecretText> = value::literal("\"hunter2\"");
    assert_eq!(value::Setting::show(&secret).as_deref(), Some("\"[redacted]\""));
}
