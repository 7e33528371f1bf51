//! The HTTP room: bytes become typed requests here, and answers become bytes.
//!
//! ```text
//! server      connection cap, shutdown
//! listener    what is listened on           tls      the server's certificate
//! connection  one socket: protocol settings, timeouts        fair  reading them in turns
//! redirect    plain HTTP that only sends people on to HTTPS
//! metrics     plain HTTP that only shows the page of numbers
//! pipeline    the life of one request, from head to access line
//! router      the route table: what is where and who may call it
//! about       what routes say of themselves   openapi  all of it, as one document
//! auth        credentials and scopes        limits   rate limits
//! address     the client's address          cors     browsers of other origins
//! body        reading bodies, bounded       json     bodies into types
//! request     what a handler gets           respond  what it answers
//! pages       what pages need beside that   cookies  finding and handing them out
//! problem     failures as RFC 7807          api/     one file per resource
//! ```
//!
//! A handler reads its request into types, calls one service and answers; a
//! screenful at most. What every request needs is done by the pipeline, once, in
//! one order, and driven by the route table, so that no handler can forget it:
//!
//! 1. the head is checked and the route found (404, 405),
//! 2. the credential is recognised (401) and the rate limit charged (429),
//! 3. the scope of an API key is compared with the route's (403),
//! 4. the body is read (413, 415, 400), which nobody unknown can make us do,
//! 5. the handler runs, detached from the connection if it may change anything,
//! 6. headers that belong on every answer are added and the access line is written.

#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::string_slice))]

mod about;
mod address;
mod api;
mod auth;
mod body;
mod connection;
mod cookies;
mod cors;
mod fair;
mod front;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod json;
mod limits;
mod listener;
mod metrics;
mod openapi;
mod pages;
mod pipeline;
mod problem;
mod redirect;
mod request;
mod respond;
mod router;
mod server;
mod settings;
#[cfg(test)]
mod tests;
mod tls;

pub use about::{About, Param, Shape};
pub use api::routes;
pub use front::Front;
pub use listener::Listener;
pub use openapi::description;
pub use pages::{Form, Outcome};
pub use problem::{Problem, ProblemKind};
pub use request::Ctx;
pub use respond::{Answer, Body, Response};
pub use router::{Auth, BodyRule, FailurePage, Handler, LimitClass, Route, TableError, Verb};
pub use server::{Drained, serve};
pub use settings::{HttpSettings, RateLimits, Timeouts};
pub use tls::{Fingerprint, TlsError, TlsIdentity, Validity};
