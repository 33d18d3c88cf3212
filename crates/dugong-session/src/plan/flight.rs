//! A request in flight.

use super::clock::Nanos;
use super::ids::JobId;
use super::job::Job;
use super::outcome::Sent;

#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) job: JobId,
    /// The job's own.
    pub(crate) timeout: Option<Nanos>,
    pub(crate) sent: Sent,
    /// No job wants its response any more.
    pub(crate) skips: bool,
    /// The driver was asked to take it back.
    pub(crate) recalled: bool,
    /// No request goes out behind it.
    pub(crate) blocks: bool,
    pub(crate) upload: bool,
    pub(crate) large: bool,
    /// It was sent while another was unanswered.
    pub(crate) pipelined: bool,
}

impl Flight {
    pub(crate) fn new(id: JobId, job: &Job, timeout: Option<Nanos>, pipelined: bool) -> Self {
        Flight {
            job: id,
            timeout,
            sent: Sent::No,
            skips: false,
            recalled: false,
            // RFC 9112 §9.3.2: a user agent should not pipeline behind a method that is not idempotent.
            blocks: !job.idempotent || job.travels_alone(),
            upload: job.upload > 0,
            large: job.large,
            pipelined,
        }
    }

    /// The job that wants the response.
    pub(crate) fn wanted_by(&self) -> Option<JobId> {
        (!self.skips).then_some(self.job)
    }

    /// The driver was asked to take it back, and may still do so.
    pub(crate) fn is_leaving(&self) -> bool {
        self.recalled && self.sent == Sent::No
    }

    /// Whether a skipped flight cannot be completed: its content comes from a caller who is gone.
    pub(crate) fn is_cut_short(&self) -> bool {
        self.skips && self.upload && self.sent == Sent::Partly
    }
}
