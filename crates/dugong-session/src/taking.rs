//! From a ticket to a reply.

use std::sync::Arc;

use crate::driver::slot::Ended;
use crate::failed::{Cause, Failed};
use crate::reply::Reply;
use crate::ticket::Ticket;

impl Ticket {
    /// Takes the reply or the error. A streamed reply keeps the ticket, and reads its content from there.
    ///
    /// # Errors
    /// The ticket, if the job is not that far.
    pub fn take_reply(mut self) -> Result<Result<Reply, Failed>, Self> {
        let mut state = self.slot.lock();
        if let Some(head) = state.head.take() {
            let attempts = state.attempts;
            drop(state);
            return Ok(Ok(Reply::streamed(head, attempts, self)));
        }
        match state.ended.take() {
            None => {
                drop(state);
                Err(self)
            }
            Some(Ended::Reply { head, content, attempts }) => {
                let trailers = state.trailers.take().unwrap_or_default();
                drop(state);
                self.is_over = true;
                let head = head.expect("a collected reply has a head");
                Ok(Ok(Reply::collected(head, content, trailers, attempts)))
            }
            Some(Ended::Failed(failed)) => {
                drop(state);
                self.is_over = true;
                Ok(Err(failed))
            }
        }
    }

    /// Waits for the reply, and serves the session meanwhile.
    pub(crate) fn wait_for_reply(mut self) -> Result<Reply, Failed> {
        self.set_awaited(true);
        loop {
            if let Err(error) = self.wait(None) {
                return Err(Failed::unsure(Cause::System(Arc::new(error))));
            }
            let news = self.news();
            self.serve(&news);
            match self.take_reply() {
                Ok(result) => return result,
                Err(ticket) => self = ticket,
            }
        }
    }
}
