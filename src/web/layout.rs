//! What all pages have in common, and the page of a failure.

use crate::http::Answer;
use crate::http::{Ctx, Outcome, Response};
use maud::{DOCTYPE, Markup, html};

/// The one style sheet.
pub(super) const STYLE: &str = include_str!("style.css");

/// A whole page.
pub(super) fn document(title: &str, content: &Markup) -> String {
    whole(title, "", &html! {}, content)
}

/// A whole page, as wide as there is room to read.
pub(super) fn wide_document(title: &str, content: &Markup) -> String {
    whole(title, "wide", &html! {}, content)
}

/// A page that sends the browser on to `url`, anywhere. Not a redirect: browsers hold
/// those that follow a form to the form's own policy, wherever they lead.
pub(super) fn onward(title: &str, url: &str, label: &str, content: &Markup) -> String {
    let head = html! { meta http-equiv="refresh" content={ "1;url=" (url) }; };
    let content = html! {
        (content)
        a.button rel="noreferrer" href=(url) { (label) }
    };
    whole(title, "", &head, &content)
}

fn whole(title: &str, class: &str, head: &Markup, content: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (title) " · Keyway" }
                (head)
                link rel="stylesheet" href="/assets/style.css";
            }
            body class=(class) {
                header { p.brand { "Keyway" } }
                main {
                    h1 { (title) }
                    (content)
                }
            }
        }
    };
    page.into_string()
}

/// The page of a failure the server itself tells of.
pub(super) fn failure(title: &str, detail: &str) -> String {
    let content = html! {
        p.bad role="alert" { (sentence(detail)) }
        p { a href="/" { "Go to the start page" } }
    };
    document(title, &content)
}

/// A page with nothing but something that went wrong, and a way on.
pub(super) fn refusal(ctx: &Ctx, outcome: Outcome, title: &str, detail: &str, way: &Markup) -> Answer {
    let content = html! {
        p.bad role="alert" { (sentence(detail)) }
        (way)
    };
    ctx.html(outcome, document(title, &content))
}

/// Services speak in lower case and without full stops, with literals in backticks;
/// people read sentences.
pub(super) fn sentence(text: &str) -> Markup {
    let mut letters = text.chars();
    let head: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let text = format!("{head}{}", letters.as_str());
    html! {
        @for (number, part) in text.split('`').enumerate() {
            @if number % 2 == 0 { (part) } @else { code { (part) } }
        }
        @if !text.ends_with(['.', '!', '?']) { "." }
    }
}

/// The style sheet.
pub(super) async fn style(ctx: Ctx) -> Answer {
    let sheet: Result<Response, _> = ctx.asset("text/css; charset=utf-8", STYLE);
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_shown_is_escaped() {
        let page = failure("<script>", "\"><img src=x onerror=alert(1)> & more");
        assert!(!page.contains("<script>") && !page.contains("<img"), "{page}");
        assert!(page.contains("&lt;img src=x onerror=alert(1)&gt; &amp; more."), "{page}");
    }

    #[test]
    fn words_of_the_services_become_sentences() {
        let shown = |text| sentence(text).into_string();
        assert_eq!(shown("set `a.<b>`; it is `c`"), "Set <code>a.&lt;b&gt;</code>; it is <code>c</code>.");
        assert_eq!(shown("done!"), "Done!");
        assert_eq!(shown(""), ".");
    }
}
