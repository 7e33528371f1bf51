//! What a route says about itself: a sentence, what it takes and what it answers. The
//! description of the API is made of this, and in debug builds, which is what the tests
//! drive, every request and every answer is held to it: a handler that reads a type,
//! asks for a parameter or answers a status its route does not name fails there.

use super::problem::{Problem, ProblemKind};
use super::router::{Auth, LimitClass, Route};
use crate::base::ids::RequestId;
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// A type, as far as descriptions are concerned.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    name: fn() -> &'static str,
    /// Its schema.
    pub(super) schema: fn(&mut SchemaGenerator) -> Schema,
}

impl Shape {
    /// The shape of `T`.
    #[must_use]
    pub const fn of<T: JsonSchema + ?Sized>() -> Self {
        Self { name: std::any::type_name::<T>, schema: |generator| generator.subschema_for::<T>() }
    }

    /// Whether this is the shape of `T`, whatever `T` borrows.
    fn is<T: ?Sized>(&self) -> bool {
        (self.name)() == std::any::type_name::<T>()
    }
}

/// A parameter in a query or a field of a form.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub what: &'static str,
    /// Whether it has to be there.
    pub required: bool,
    /// What holds when it is not.
    pub default: Option<&'static str>,
    /// What may stand there.
    pub(super) shape: Shape,
}

impl Param {
    /// One that has to be there.
    #[must_use]
    pub const fn required<T: JsonSchema + ?Sized>(name: &'static str, what: &'static str) -> Self {
        Self { name, what, required: true, default: None, shape: Shape::of::<T>() }
    }

    /// One that may be there.
    #[must_use]
    pub const fn optional<T: JsonSchema + ?Sized>(name: &'static str, what: &'static str) -> Self {
        Self { name, what, required: false, default: None, shape: Shape::of::<T>() }
    }

    /// Says what holds when it is not there.
    #[must_use]
    pub const fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }
}

/// The form of an answer to a call that went well.
#[derive(Clone, Copy, Debug)]
pub(super) enum Success {
    /// Data in the envelope.
    Data(u16, Shape),
    /// A page of a list in the envelope.
    List(Shape),
    /// Data in the envelope and beside it.
    Twice(Shape),
    /// JSON without an envelope.
    Bare(Shape),
    /// A document that is not JSON, of this type.
    Document(&'static str),
    /// Nothing.
    Empty,
    /// The way to another address.
    Redirect(u16),
}

impl Success {
    pub(super) const fn status(&self) -> u16 {
        match self {
            Self::Data(status, _) | Self::Redirect(status) => *status,
            Self::Empty => 204,
            Self::List(_) | Self::Twice(_) | Self::Bare(_) | Self::Document(_) => 200,
        }
    }
}

/// A body a call takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Takes {
    pub(super) shape: Shape,
    pub(super) required: bool,
}

/// What a route says about itself.
#[derive(Clone, Copy, Debug)]
pub struct About {
    pub(super) summary: &'static str,
    pub(super) details: &'static str,
    pub(super) success: Success,
    /// Other data with the same status.
    pub(super) or: Option<Shape>,
    /// Other statuses that are no failures, and what they mean.
    pub(super) also: &'static [(u16, &'static str)],
    pub(super) takes: Option<Takes>,
    pub(super) query: &'static [Param],
    pub(super) headers: &'static [Param],
    pub(super) form: &'static [Param],
    pub(super) refuses: &'static [ProblemKind],
    pub(super) answers_with: &'static [(&'static str, &'static str)],
    pub(super) leads: &'static [(&'static str, &'static str)],
}

impl About {
    const fn new(summary: &'static str, success: Success) -> Self {
        Self {
            summary,
            details: "",
            success,
            or: None,
            also: &[],
            takes: None,
            query: &[],
            headers: &[],
            form: &[],
            refuses: &[],
            answers_with: &[],
            leads: &[],
        }
    }

    /// Answers 200 with data.
    #[must_use]
    pub const fn data<T: JsonSchema + ?Sized>(summary: &'static str) -> Self {
        Self::new(summary, Success::Data(200, Shape::of::<T>()))
    }

    /// Answers 201 with data.
    #[must_use]
    pub const fn created<T: JsonSchema + ?Sized>(summary: &'static str) -> Self {
        Self::new(summary, Success::Data(201, Shape::of::<T>()))
    }

    /// Answers a page of a list of `T`; takes `limit` and `offset`.
    #[must_use]
    pub const fn list<T: JsonSchema>(summary: &'static str) -> Self {
        Self::new(summary, Success::List(Shape::of::<T>()))
    }

    /// Answers 200 with data in the envelope and beside it.
    #[must_use]
    pub const fn twice<T: JsonSchema>(summary: &'static str) -> Self {
        Self::new(summary, Success::Twice(Shape::of::<T>()))
    }

    /// Answers 200 with JSON that has no envelope.
    #[must_use]
    pub const fn bare<T: JsonSchema>(summary: &'static str) -> Self {
        Self::new(summary, Success::Bare(Shape::of::<T>()))
    }

    /// Answers 200 with a document of the media type `kind`.
    #[must_use]
    pub const fn document(summary: &'static str, kind: &'static str) -> Self {
        Self::new(summary, Success::Document(kind))
    }

    /// Answers 200 with a page for people.
    #[must_use]
    pub const fn page(summary: &'static str) -> Self {
        Self::document(summary, "text/html")
    }

    /// Answers 204.
    #[must_use]
    pub const fn nothing(summary: &'static str) -> Self {
        Self::new(summary, Success::Empty)
    }

    /// Sends the client on to another address, with `status`.
    #[must_use]
    pub const fn redirect(summary: &'static str, status: u16) -> Self {
        Self::new(summary, Success::Redirect(status))
    }

    /// Says more, in Markdown.
    #[must_use]
    pub const fn details(mut self, details: &'static str) -> Self {
        self.details = details;
        self
    }

    /// Or answers with these data.
    #[must_use]
    pub const fn or<T: JsonSchema>(mut self) -> Self {
        self.or = Some(Shape::of::<T>());
        self
    }

    /// Or answers with one of these statuses, which are no failures.
    #[must_use]
    pub const fn also(mut self, statuses: &'static [(u16, &'static str)]) -> Self {
        self.also = statuses;
        self
    }

    /// Takes a body.
    #[must_use]
    pub const fn takes<T: JsonSchema>(mut self) -> Self {
        self.takes = Some(Takes { shape: Shape::of::<T>(), required: true });
        self
    }

    /// Takes a body, or none.
    #[must_use]
    pub const fn may_take<T: JsonSchema>(mut self) -> Self {
        self.takes = Some(Takes { shape: Shape::of::<T>(), required: false });
        self
    }

    /// Takes parameters in the query.
    #[must_use]
    pub const fn query(mut self, params: &'static [Param]) -> Self {
        self.query = params;
        self
    }

    /// Takes headers that mean something beyond what they mean everywhere.
    #[must_use]
    pub const fn headers(mut self, params: &'static [Param]) -> Self {
        self.headers = params;
        self
    }

    /// Takes the fields of an HTML form.
    #[must_use]
    pub const fn form(mut self, fields: &'static [Param]) -> Self {
        self.form = fields;
        self
    }

    /// Refuses for reasons of its own, beyond those all calls of its kind have.
    #[must_use]
    pub const fn refuses(mut self, kinds: &'static [ProblemKind]) -> Self {
        self.refuses = kinds;
        self
    }

    /// Names, in its answer, parameters of the paths below its own: each with a JSON
    /// pointer (RFC 6901) to where it stands.
    #[must_use]
    pub const fn leads(mut self, parameters: &'static [(&'static str, &'static str)]) -> Self {
        self.leads = parameters;
        self
    }

    /// Answers with headers of its own.
    #[must_use]
    pub const fn answers_with(mut self, headers: &'static [(&'static str, &'static str)]) -> Self {
        self.answers_with = headers;
        self
    }

    /// Whether it takes a body of any kind.
    #[must_use]
    pub const fn takes_a_body(&self) -> bool {
        self.takes.is_some() || !self.form.is_empty()
    }
}

/// How a route may refuse.
impl Route {
    /// The failures a caller has to expect.
    pub(super) fn refusals(&self) -> Vec<ProblemKind> {
        ProblemKind::ALL.into_iter().filter(|kind| self.may_refuse(*kind)).collect()
    }

    fn may_refuse(&self, kind: ProblemKind) -> bool {
        let known = !matches!(self.auth, Auth::None | Auth::Visitor);
        let by_rule = match kind {
            // A malformed head, path or query; our fault; too busy, or too late.
            ProblemKind::BadRequest | ProblemKind::InternalError | ProblemKind::ServiceUnavailable => true,
            ProblemKind::Unauthorized => known,
            // A scope, a role, or a cookie from a foreign page.
            ProblemKind::Forbidden => matches!(self.auth, Auth::Scoped(_)) || (known && self.verb.mutates()),
            ProblemKind::NotFound => self.role.is_some() || self.params().next().is_some(),
            ProblemKind::PayloadTooLarge | ProblemKind::UnsupportedMediaType => self.verb.mutates(),
            ProblemKind::RateLimited => self.limit != LimitClass::Exempt,
            ProblemKind::MethodNotAllowed
            | ProblemKind::Conflict
            | ProblemKind::PreconditionFailed
            | ProblemKind::UpstreamError => false,
        };
        by_rule || self.about.refuses.contains(&kind)
    }

    fn may_answer(&self, status: u16) -> bool {
        self.about.success.status() == status
            || self.about.also.iter().any(|(other, _)| *other == status)
            || self.refusals().iter().any(|kind| kind.parts().0.as_u16() == status)
    }
}

/// What debug builds hold handlers to.
impl Route {
    /// Whether an answer may carry `T`.
    pub(super) fn check_answer<T: ?Sized>(&self) -> Result<(), Problem> {
        let said = match &self.about.success {
            Success::Data(_, shape) | Success::List(shape) | Success::Twice(shape) | Success::Bare(shape) => {
                shape.is::<T>()
            }
            Success::Document(_) | Success::Empty | Success::Redirect(_) => false,
        };
        let said = said || self.about.or.is_some_and(|shape| shape.is::<T>());
        self.check(said, || format!("the answer `{}`", std::any::type_name::<T>()))
    }

    /// Whether a body may be read as `T`.
    pub(super) fn check_body<T>(&self) -> Result<(), Problem> {
        let said = self.about.takes.is_some_and(|takes| takes.shape.is::<T>());
        self.check(said, || format!("the body `{}`", std::any::type_name::<T>()))
    }

    /// Whether the query may have a parameter called `name`.
    pub(super) fn check_query(&self, name: &str) -> Result<(), Problem> {
        let paged = matches!(self.about.success, Success::List(_)) && matches!(name, "limit" | "offset");
        let said = paged || self.about.query.iter().any(|param| param.name == name);
        self.check(said, || format!("the parameter `{name}`"))
    }

    /// Whether an answer may have this status.
    pub(super) fn check_status(&self, status: u16) -> Result<(), Problem> {
        self.check(self.may_answer(status), || format!("the status {status}"))
    }

    fn check(&self, said: bool, what: impl FnOnce() -> String) -> Result<(), Problem> {
        if said || !cfg!(debug_assertions) {
            return Ok(());
        }
        let what = what();
        Err(Problem::internal(format!(
            "{what} is not in the description of `{} {}`",
            self.verb.as_str(),
            self.path
        )))
    }
}

/// The schema of a request's id.
pub(super) const REQUEST_ID: Shape = Shape::of::<RequestId>();
