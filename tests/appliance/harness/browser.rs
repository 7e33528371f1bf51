//! A browser without a window: it keeps cookies, follows redirects on its own server, and fills in the forms it
//! was shown. What it cannot do, run scripts and draw, no page may need.

use super::{Answer, Client, Request};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A browser, pointed at one appliance.
pub(crate) struct Browser {
    address: SocketAddr,
    pub(crate) cookies: BTreeMap<String, String>,
}

/// A page it was shown, or an answer that is none.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) answer: Answer,
    pub(crate) html: String,
}

impl Browser {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, cookies: BTreeMap::new() }
    }

    /// Where the server is, as browsers write it.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// One request, without following anything.
    pub(crate) fn send(&mut self, request: Request) -> Page {
        let jar: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = if jar.is_empty() { request } else { request.header("Cookie", &jar.join("; ")) };
        let answer = Client::new(self.address, None).try_send(&request).expect("the server answers");
        for (_, cookie) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            assert!(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Lax"), "{cookie}");
            assert!(!cookie.contains("Domain"), "{cookie}");
            let (name, value) = cookie.split(';').next().and_then(|pair| pair.split_once('=')).expect(cookie);
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let html = String::from_utf8_lossy(&answer.body).into_owned();
        Page { answer, html }
    }

    /// Opens `target`, a path or an address of this server, and goes where it is sent to on it.
    pub(crate) fn open(&mut self, target: &str) -> Page {
        let path = target.strip_prefix(&self.origin()).unwrap_or(target).to_owned();
        let page = self.send(Request::new("GET", &path));
        self.follow(page)
    }

    /// Goes where `page` sends it to, as long as that is on this server.
    pub(crate) fn follow(&mut self, page: Page) -> Page {
        match page.answer.header("location").map(str::to_owned) {
            Some(target) if target.starts_with(&self.origin()) => self.open(&target),
            _ => page.checked(),
        }
    }

    /// Fills in the form of `page` that goes to `action`, sends it and follows.
    pub(crate) fn submit(&mut self, page: &Page, action: &str, fields: &[(&str, &str)]) -> Page {
        let page = self.submit_only(page, action, fields);
        self.follow(page)
    }

    /// Fills in the form of `page` that goes to `action` and sends it.
    pub(crate) fn submit_only(&mut self, page: &Page, action: &str, fields: &[(&str, &str)]) -> Page {
        let mut all = page.hidden_fields(action);
        all.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.send(form(action, &all).header("Origin", &self.origin()))
    }
}

/// A form as browsers send it.
pub(crate) fn form(action: &str, fields: &[(String, String)]) -> Request {
    let pairs: Vec<_> =
        fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    Request::new("POST", action)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(pairs.join("&"))
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            },
        )
        .collect()
}

impl Page {
    /// What every page keeps to.
    fn checked(self) -> Self {
        if self.answer.header("content-type") == Some("text/html; charset=utf-8") {
            let policy = self.answer.header("content-security-policy").unwrap_or_default();
            for rule in
                ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"]
            {
                assert!(policy.contains(rule), "{policy}");
            }
            assert!(!policy.contains("unsafe"), "{policy}");
            assert_eq!(self.answer.header("cache-control"), Some("no-store"));
            // A button that leads elsewhere does not say where from.
            let own = self.html.replace("<a class=\"button\" rel=\"noreferrer\" href=\"http", "");
            for forbidden in ["<script", "style=", "onclick", "javascript:", "src=\"http", "href=\"http"] {
                assert!(!own.contains(forbidden), "`{forbidden}` in {}", self.html);
            }
            assert!(self.html.contains("<html lang=\"en\">") && self.html.contains("<h1>"), "{}", self.html);
        }
        self
    }

    /// The status and that the page says `words`.
    pub(crate) fn says(&self, status: u16, words: &str) -> &Self {
        assert_eq!(self.answer.status, status, "{}", self.answer.show());
        assert!(self.html.contains(words), "no `{words}` in {}", self.answer.show());
        self
    }

    /// Names and values of the hidden fields of the form that goes to `action`.
    pub(crate) fn hidden_fields(&self, action: &str) -> Vec<(String, String)> {
        let start = self.html.find(&format!("action=\"{action}\""));
        let start = start.unwrap_or_else(|| panic!("no form to `{action}` in {}", self.answer.show()));
        let form = self.html[start..].split("</form>").next().unwrap_or_default();
        let inputs = form.split("<input").skip(1).filter(|input| input.contains("type=\"hidden\""));
        inputs.map(|input| (attribute(input, "name"), attribute(input, "value"))).collect()
    }

    /// The address of the link that says `words`.
    pub(crate) fn link(&self, words: &str) -> String {
        let head = self.html.split(words).next().unwrap_or_default();
        let tag = head.rsplit("<a ").next().unwrap_or_default();
        attribute(tag, "href").replace("&amp;", "&")
    }
}

fn attribute(tag: &str, name: &str) -> String {
    let rest = tag.split(&format!("{name}=\"")).nth(1).unwrap_or_default();
    rest.split('"').next().unwrap_or_default().to_owned()
}
