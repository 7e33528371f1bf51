//! Where an operator's requests are done: by the running server, through its socket, or
//! here on the data itself when no server runs. Several requests in a row are done at
//! the same place.

use super::data;
use crate::cli::admin::{self, Reply, Request};
use crate::cli::output::ProgressLine;
use crate::cli::{Failure, socket, upkeep};
use crate::config::Settings;
use crate::domain::Services;
use crate::domain::upkeep::Watch;
use crate::store::DataDir;
use std::ops::ControlFlow;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// The place where requests are done.
pub(super) struct Desk<'a> {
    settings: &'a Settings,
    dir: DataDir,
    here: Option<(Runtime, Services)>,
    line: Arc<ProgressLine>,
}

impl<'a> Desk<'a> {
    /// Becomes the data directory's owner; who does the work is found out with the
    /// first request.
    pub(super) fn of(settings: &'a Settings) -> Result<Self, Failure> {
        let dir = data::directory(settings);
        data::become_owner(&dir)?;
        Ok(Self { settings, dir, here: None, line: Arc::default() })
    }

    /// Whether there is data at all, and a request can be done.
    pub(super) fn expect_data(&self) -> Result<(), Failure> {
        data::expect(&self.dir)
    }

    /// Has `request` done.
    pub(super) fn ask(&mut self, request: Request) -> Result<Reply, Failure> {
        let line = Arc::clone(&self.line);
        if self.here.is_none()
            && let Some(answer) = socket::ask(self.dir.path(), &request, &mut |progress| line.show(progress))
        {
            line.clear();
            return answer;
        }
        if self.here.is_none() {
            let runtime = super::serve::runtime()?;
            let lock = data::lock(&self.dir)?;
            let services = runtime.block_on(async { data::open(self.settings, lock, None) })?;
            self.here = Some((runtime, services));
        }
        let Some((runtime, services)) = &self.here else { return Err(Failure::ours("the data is closed")) };
        let shown = Arc::clone(&line);
        let watch = Watch::new(move |progress| {
            shown.show(progress);
            ControlFlow::Continue(())
        });
        let answer = runtime.block_on(admin::execute(services, request, watch.at_full_speed()));
        line.clear();
        answer
    }

    /// Has a request about the data itself done.
    pub(super) fn upkeep(&mut self, request: upkeep::Request) -> Result<upkeep::Reply, Failure> {
        match self.ask(Request::Upkeep(request))? {
            Reply::Upkeep(reply) => Ok(reply),
            _ => Err(Failure::misunderstood()),
        }
    }
}

impl Drop for Desk<'_> {
    fn drop(&mut self) {
        if let Some((runtime, services)) = self.here.take() {
            runtime.block_on(services.close());
        }
    }
}
