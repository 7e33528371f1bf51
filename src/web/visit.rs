//! A browser at one of our pages: the cookie it is told apart by, who is signed in in
//! it, and the tokens of its forms.

use crate::domain::{Services, sign_in};
use crate::http::{Answer, Ctx, Form, Param, Problem, ProblemKind};
use maud::{Markup, html};

/// Tells browsers apart, for as long as they are open.
const BROWSER: &str = "keyway_browser";
/// Characters of that cookie.
const BROWSER_CHARS: std::ops::RangeInclusive<usize> = 20..=64;

/// The hidden field that makes a form ours.
pub(super) const TOKEN: Param = Param::required::<str>("form", "The form's own token, from its page.");

/// One browser.
pub(super) struct Visit<'c> {
    ctx: &'c Ctx,
    browser: String,
    is_new: bool,
}

impl<'c> Visit<'c> {
    pub(super) fn of(ctx: &'c Ctx) -> Self {
        let known = ctx.cookie(BROWSER).filter(|value| {
            BROWSER_CHARS.contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        let is_new = known.is_none();
        let browser = known.map_or_else(sign_in::new_browser, str::to_owned);
        Self { ctx, browser, is_new }
    }

    pub(super) fn browser(&self) -> &str {
        &self.browser
    }

    fn services(&self) -> &Services {
        self.ctx.services()
    }

    /// The hidden field that makes a form ours. It fits this browser, and whoever is
    /// signed in in it.
    pub(super) fn form_field(&self, form: &str) -> Markup {
        let token = self.services().form_token(&self.holder(), form);
        html! { input type="hidden" name="form" value=(token); }
    }

    /// Refuses a form that is not ours.
    pub(super) fn check(&self, fields: &Form, form: &str) -> Result<(), Problem> {
        self.ctx.check_form_origin()?;
        self.check_token(fields, form)
    }

    /// The same for a form on a private page.
    pub(super) fn check_private(&self, fields: &Form, form: &str) -> Result<(), Problem> {
        self.ctx.check_private_form_origin()?;
        self.check_token(fields, form)
    }

    fn check_token(&self, fields: &Form, form: &str) -> Result<(), Problem> {
        if self.services().is_form_token(fields.text("form"), &self.holder(), form) {
            return Ok(());
        }
        let detail = "this form is out of date, or cookies are off; go back, load the page again and repeat";
        Err(Problem::new(ProblemKind::Forbidden, detail))
    }

    fn holder(&self) -> String {
        let user = self.ctx.visitor().map(|actor| actor.user_id().to_string()).unwrap_or_default();
        format!("{} {user}", self.browser)
    }

    /// Proof that this browser has typed a device code that exists: what comes after
    /// need not be counted as another guess.
    pub(super) fn seen(&self, user_code: &str) -> String {
        self.services().form_token(&self.browser, &format!("seen {user_code}"))
    }

    /// The device code in `user_code`, if `seen` proves that this browser knows it.
    pub(super) fn proven<'t>(&self, user_code: &'t str, seen: &str) -> Option<&'t str> {
        let good = self.services().is_form_token(seen, &self.browser, &format!("seen {user_code}"));
        good.then_some(user_code)
    }

    /// Sends `answer`, with the cookie if the browser has none.
    pub(super) fn answer(&self, answer: Answer) -> Answer {
        if self.is_new { self.ctx.with_cookie(answer, BROWSER, &self.browser, None) } else { answer }
    }
}
