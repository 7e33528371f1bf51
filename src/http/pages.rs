//! What pages need of this room: forms, cookies, HTML answers and redirects. The pages
//! themselves are another room's.

use super::auth::{self, Shown};
use super::cookies;
use super::problem::Problem;
use super::request::{Caller, Ctx};
use super::respond::{Answer, Body, Response, empty};
use crate::base::SecretText;
use crate::domain::{Actor, SignedIn};
use hyper::StatusCode;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, ORIGIN,
    REFERRER_POLICY, SET_COOKIE,
};
use std::time::Duration;

/// Nothing but our own style sheet, and forms that come back to us.
const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// What a page has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What was asked for (200).
    Fine,
    /// That what was sent is wrong (400).
    Mistake,
    /// That somebody could not show who they are (401).
    Unknown,
    /// That somebody may not do this (403).
    Forbidden,
}

/// The fields of an HTML form.
pub struct Form(Vec<(String, SecretText)>);

impl Form {
    /// The field `name`; empty if it is not there. Of several, the first.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.find(name).map_or("", SecretText::expose)
    }

    /// The field `name`, to be kept secret.
    #[must_use]
    pub fn secret(&self, name: &str) -> SecretText {
        self.find(name).cloned().unwrap_or_default()
    }

    fn find(&self, name: &str) -> Option<&SecretText> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

impl Ctx {
    /// Who calls, if a session says so.
    #[must_use]
    pub fn visitor(&self) -> Option<&Actor> {
        match &self.caller {
            Caller::Known(actor) => Some(actor),
            Caller::Anybody(_) => None,
        }
    }

    /// The form that was sent.
    #[must_use]
    pub fn form(&self) -> Form {
        let fields = form_urlencoded::parse(self.body());
        Form(fields.map(|(name, value)| (name.into_owned(), SecretText::new(value.into_owned()))).collect())
    }

    /// The value of a page's cookie.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        cookies::find(&self.headers, &cookies::of_page(self.settings(), name))
    }

    /// Refuses what a page of a foreign site made a browser send. Browsers that do not
    /// say where a form comes from are left to the form's own token.
    ///
    /// # Errors
    /// Forbidden.
    pub fn check_form_origin(&self) -> Result<(), Problem> {
        if self.headers.contains_key(ORIGIN) {
            auth::check_web_origin(&self.headers, &self.settings().public_url, &[])?;
        }
        Ok(())
    }

    /// The same for a form on a page that keeps its address to itself
    /// ([`Ctx::private_html`]): about such a page browsers do not say where it is from
    /// either, but `null` (Fetch, "append a request `Origin` header").
    ///
    /// # Errors
    /// Forbidden.
    pub fn check_private_form_origin(&self) -> Result<(), Problem> {
        if self.headers.get(ORIGIN).is_some_and(|origin| origin == "null") {
            return Ok(());
        }
        self.check_form_origin()
    }

    /// The credential in the `Authorization` header.
    ///
    /// # Errors
    /// Unauthorized, for a header that is malformed.
    pub fn bearer(&self) -> Result<Option<SecretText>, Problem> {
        let shown = auth::credential(&self.headers)?;
        Ok(shown.filter(|shown| !shown.by_cookie).map(|shown| shown.text))
    }

    /// Who shows `credential`, other than as a cookie.
    ///
    /// # Errors
    /// Unauthorized; unavailable when a forge would have to be asked and cannot be.
    pub async fn recognise(&self, credential: &SecretText) -> Result<Actor, Problem> {
        Ok(self.services().authenticate(credential, false, self.origin().clone()).await?)
    }

    /// The credential that was shown, whatever it is worth. One that a browser sent by
    /// itself counts only if the request may come from a page.
    ///
    /// # Errors
    /// Forbidden, for a cookie that a foreign page made a browser send.
    pub(super) fn shown_credential(&self) -> Result<Option<SecretText>, Problem> {
        // A malformed header is no credential.
        let Some(Shown { text, by_cookie }) = auth::credential(&self.headers).unwrap_or_default() else {
            return Ok(None);
        };
        if by_cookie {
            let settings = self.settings();
            auth::check_web_origin(&self.headers, &settings.public_url, &settings.allowed_origins)?;
        }
        Ok(Some(text))
    }

    /// A page.
    ///
    /// # Errors
    /// Never; the type is that of its neighbours.
    pub fn html(&self, outcome: Outcome, html: String) -> Answer {
        let status = match outcome {
            Outcome::Fine => StatusCode::OK,
            Outcome::Mistake => StatusCode::BAD_REQUEST,
            Outcome::Unknown => StatusCode::UNAUTHORIZED,
            Outcome::Forbidden => StatusCode::FORBIDDEN,
        };
        Ok(self::html(status, html))
    }

    /// A page whose address has something in it that must not get any further.
    ///
    /// # Errors
    /// Never; the type is that of its neighbours.
    pub fn private_html(&self, outcome: Outcome, html: String) -> Answer {
        let mut response = self.html(outcome, html)?;
        response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        Ok(response)
    }

    /// Sends the browser on to `path` of this server, with GET.
    ///
    /// # Errors
    /// If `path` cannot be written as a header.
    pub fn see_other(&self, path: &str) -> Answer {
        self.redirect(StatusCode::SEE_OTHER, &format!("{}{path}", self.settings().public_url))
    }

    /// Sends the browser on to `url`, anywhere.
    ///
    /// # Errors
    /// If `url` cannot be written as a header.
    pub fn found(&self, url: &str) -> Answer {
        self.redirect(StatusCode::FOUND, url)
    }

    fn redirect(&self, status: StatusCode, url: &str) -> Answer {
        let mut response = empty(status);
        let target = HeaderValue::try_from(url).map_err(Problem::internal)?;
        response.headers_mut().insert(LOCATION, target);
        response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        Ok(response)
    }

    /// Hands out a page's cookie with `answer`; `None`: until the browser is closed.
    ///
    /// # Errors
    /// Those of `answer`.
    pub fn with_cookie(&self, answer: Answer, name: &str, value: &str, age: Option<Duration>) -> Answer {
        self.with_named(answer, &cookies::of_page(self.settings(), name), value, age)
    }

    fn with_named(&self, answer: Answer, name: &str, value: &str, age: Option<Duration>) -> Answer {
        let mut response = answer?;
        if let Some(cookie) = cookies::hand_out(self.settings(), name, value, age) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        Ok(response)
    }

    /// Hands out a session with `answer`.
    ///
    /// # Errors
    /// Those of `answer`.
    pub fn with_session(&self, answer: Answer, session: &SignedIn) -> Answer {
        let age = session.expires_at.since(self.now());
        self.with_named(answer, cookies::SESSION, session.token.expose(), Some(age))
    }

    /// Takes the session's cookie back with `answer`.
    ///
    /// # Errors
    /// Those of `answer`.
    pub fn without_session(&self, answer: Answer) -> Answer {
        self.with_named(answer, cookies::SESSION, "", Some(Duration::ZERO))
    }

    /// The session in the cookie, to be ended.
    #[must_use]
    pub fn session_token(&self) -> Option<SecretText> {
        auth::session_cookie(&self.headers).map(|shown| shown.text)
    }

    /// Something that never changes as long as this version runs, such as a style sheet.
    ///
    /// # Errors
    /// Never; the type is that of its neighbours.
    pub fn asset(&self, kind: &'static str, content: &'static str) -> Answer {
        let mut response = Response::new(Body::from(content));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
        Ok(response)
    }
}

/// An HTML document with the headers every page has.
pub(super) fn html(status: StatusCode, html: String) -> Response {
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(CONTENT_TYPE, "text/html; charset=utf-8");
    set(CONTENT_SECURITY_POLICY, POLICY);
    // With less, browsers would not say where our own forms come from.
    set(REFERRER_POLICY, "same-origin");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    response
}
