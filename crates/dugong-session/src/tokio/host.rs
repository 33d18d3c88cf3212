//! A session or many, behind one door for [`Call`](super::Call) and [`Run`](super::Run).

use std::sync::Arc;
use std::task::{Context, Waker};

use dugong_http::Origin;

use super::content::Upload;
use super::pilot::Pilot;
use super::reply::Reply;
use crate::directory::Directory;
use crate::failed::Failed;
use crate::journey::Journey;
use crate::origins::SessionsPlan;
use crate::request::Request;
use crate::run_many;
use crate::ticket::{News, Ticket};

#[derive(Clone, Debug)]
pub(super) enum Host {
    One(Arc<Pilot>),
    Many(Arc<Many>),
}

/// Sessions by their origins.
#[derive(Debug)]
pub(super) struct Many {
    pub(super) plan: SessionsPlan,
    pub(super) directory: Directory<Arc<Pilot>>,
}

impl Many {
    pub(super) fn pilot(&self, origin: &Origin) -> Result<Arc<Pilot>, Failed> {
        let make = || Ok(Arc::new(Pilot::new(self.plan.session(origin)?)));
        self.directory.find(origin, make, |pilot| Arc::strong_count(pilot) > 1)
    }
}

/// A request on its way.
#[derive(Debug)]
pub(super) struct Flight {
    way: Way,
    /// Of the session that has the request now.
    pilot: Arc<Pilot>,
    /// Content that this task reads.
    upload: Option<Upload>,
}

#[derive(Debug)]
enum Way {
    Ticket(Box<Ticket>),
    Journey(Box<Journey>, Arc<Many>),
}

impl Host {
    /// Submits a request. Only call this in a task.
    pub(super) fn begin(&self, request: &Request, upload: Option<Upload>, waker: &Waker) -> Result<Flight, Failed> {
        match self {
            Host::One(pilot) => {
                let ticket = submit(pilot, request.clone(), waker)?;
                Ok(Flight { way: Way::Ticket(Box::new(ticket)), pilot: pilot.clone(), upload })
            }
            Host::Many(many) => {
                let mut last = None;
                let journey = Journey::begin(request, many.plan.redirects, many.plan.total_timeout(), &mut |origin, request| {
                    let pilot = last.insert(many.pilot(origin)?);
                    submit(pilot, request, waker)
                })?;
                let pilot = last.expect("a journey begins with a session");
                Ok(Flight { way: Way::Journey(Box::new(journey), many.clone()), pilot, upload })
            }
        }
    }

    /// How many requests to submit ahead of the outcomes that the caller takes.
    pub(super) fn ahead(&self) -> usize {
        match self {
            Host::One(pilot) => pilot.session().take_ahead(),
            Host::Many(_) => run_many::AHEAD,
        }
    }
}

fn submit(pilot: &Pilot, request: Request, waker: &Waker) -> Result<Ticket, Failed> {
    let ticket = pilot.session().submit(request, waker)?;
    pilot.ensure();
    Ok(ticket)
}

impl Flight {
    /// Wakes this at each news from now on.
    pub(super) fn set_waker(&self, waker: &Waker) {
        match &self.way {
            Way::Ticket(ticket) => ticket.set_waker(waker),
            Way::Journey(journey, _) => journey.set_waker(waker),
        }
    }

    /// Makes sure that the session is driven.
    pub(super) fn go_on(&self) {
        self.pilot.go_on();
    }

    /// Tells the session that the caller waits for this request.
    pub(super) fn set_awaited(&self) {
        match &self.way {
            Way::Ticket(ticket) => ticket.set_awaited(true),
            Way::Journey(journey, _) => journey.set_awaited(),
        }
    }

    /// Does what the session asks for, and returns true when the reply or the error can be taken.
    pub(super) fn advance(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            if self.look(cx.waker()) {
                return true;
            }
            let ticket = match &mut self.way {
                Way::Ticket(ticket) => Some(&mut **ticket),
                Way::Journey(journey, _) => journey.ticket(),
            };
            let (Some(upload), Some(ticket)) = (&mut self.upload, ticket) else { return false };
            if !upload.feed(ticket, cx) {
                return false;
            }
        }
    }

    fn look(&mut self, waker: &Waker) -> bool {
        let upload = &mut self.upload;
        let mut serve = |ticket: &mut Ticket, news: &News| match upload {
            Some(upload) => upload.serve(ticket, news),
            None => ticket.serve(news),
        };
        match &mut self.way {
            Way::Ticket(ticket) => loop {
                match ticket.news() {
                    News::None => return false,
                    News::Head | News::Over => return true,
                    news => serve(ticket, &news),
                }
            },
            Way::Journey(journey, many) => {
                let pilot = &mut self.pilot;
                journey.advance(waker, &mut serve, &mut |origin, request| {
                    *pilot = many.pilot(origin)?;
                    submit(pilot, request, waker)
                })
            }
        }
    }

    /// Where a request of many sessions is.
    pub(super) fn place(&self) -> Option<(&Origin, &Request)> {
        match &self.way {
            Way::Ticket(_) => None,
            Way::Journey(journey, _) => Some(journey.place()),
        }
    }

    /// Takes the reply or the error, after [`advance`](Flight::advance) has returned true.
    pub(super) fn into_result(self) -> Result<Reply, Failed> {
        let result = match self.way {
            Way::Ticket(ticket) => ticket.take_reply().unwrap_or_else(|_| unreachable!("the reply is there")),
            Way::Journey(journey, _) => journey.into_result(),
        };
        result.map(|reply| Reply::new(self.pilot, reply))
    }
}
