//! Who is next: strict ranks, and among launches a fair share for each organisation by its weight.

use super::Class;
use crate::domain::ids::OrganizationId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One turn in so many goes to the rank whose next waiter came first: no rank starves another.
const ELDEST_EVERY: u64 = 8;
/// What one launch of an organisation of weight 1 costs it.
const COST: u64 = 1 << 20;

/// A place in the queue; a lower one came earlier.
pub(super) type Ticket = u64;

/// In the order in which they are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Had its turn, and could not use it in time.
    Again,
    Terminate,
    Reconcile,
    Poll,
    Launch,
    Sweep,
}

/// What an organisation's launches count against those of others; 1 for one that is not here.
pub(super) type Weights = Arc<BTreeMap<OrganizationId, u32>>;

/// Who waits for one key.
#[derive(Debug)]
pub(super) struct Queue {
    weights: Weights,
    tickets: Ticket,
    turns: u64,
    waiting: BTreeMap<Ticket, Place>,
    /// All ranks but that of launches.
    ranks: BTreeMap<Rank, BTreeSet<Ticket>>,
    flows: BTreeMap<OrganizationId, Flow>,
    /// The start of the launch that was served last, in what launches cost.
    virtual_time: u64,
}

#[derive(Debug)]
enum Place {
    Rank(Rank),
    Launch(OrganizationId),
}

/// The launches of one organisation.
#[derive(Debug)]
struct Flow {
    waiting: BTreeSet<Ticket>,
    /// What one launch costs: less for a greater weight.
    cost: u64,
    /// When its next launch starts, in virtual time: the lowest is served.
    start: u64,
}

impl Queue {
    /// Nobody waits.
    pub(super) fn new(weights: Weights) -> Self {
        Self {
            weights,
            tickets: 0,
            turns: 0,
            waiting: BTreeMap::new(),
            ranks: BTreeMap::new(),
            flows: BTreeMap::new(),
            virtual_time: 0,
        }
    }

    /// Takes a place at the end of its class; `again` before all others.
    pub(super) fn join(&mut self, class: &Class, again: bool) -> Ticket {
        let ticket = self.tickets;
        self.tickets += 1;
        let rank = match class {
            _ if again => Rank::Again,
            Class::Terminate => Rank::Terminate,
            Class::Reconcile => Rank::Reconcile,
            Class::Poll => Rank::Poll,
            Class::Sweep => Rank::Sweep,
            Class::Launch(organization) => {
                self.launch(ticket, organization);
                return ticket;
            }
        };
        self.waiting.insert(ticket, Place::Rank(rank));
        self.ranks.entry(rank).or_default().insert(ticket);
        ticket
    }

    fn launch(&mut self, ticket: Ticket, organization: &OrganizationId) {
        let weight = self.weights.get(organization).copied().unwrap_or(1);
        let flow = self
            .flows
            .entry(organization.clone())
            .or_insert_with(|| Flow {
                waiting: BTreeSet::new(),
                cost: COST / u64::from(weight.max(1)),
                start: 0,
            });
        if flow.waiting.is_empty() {
            // Time that it did not use is no claim on time to come.
            flow.start = flow.start.max(self.virtual_time);
        }
        flow.waiting.insert(ticket);
        let place = Place::Launch(organization.clone());
        self.waiting.insert(ticket, place);
    }

    /// Whose turn the next one is.
    pub(super) fn next(&self) -> Option<Ticket> {
        let ranks = self.ranks.iter();
        let ranks = ranks.filter_map(|(rank, waiting)| Some((*rank, *waiting.first()?)));
        let launch = self.next_launch().map(|ticket| (Rank::Launch, ticket));
        let heads = ranks.chain(launch);
        let eldest = self.turns % ELDEST_EVERY == ELDEST_EVERY - 1;
        let next = if eldest {
            heads.min_by_key(|(_, ticket)| *ticket)
        } else {
            heads.min()
        };
        next.map(|(_, ticket)| ticket)
    }

    fn next_launch(&self) -> Option<Ticket> {
        let flows = self.flows.values();
        let heads = flows.filter_map(|flow| Some((flow.start, *flow.waiting.first()?)));
        heads.min().map(|(_, ticket)| ticket)
    }

    /// The ticket has had its turn.
    pub(super) fn served(&mut self, ticket: Ticket) {
        self.turns += 1;
        if let Some(Place::Launch(organization)) = self.waiting.get(&ticket)
            && let Some(flow) = self.flows.get_mut(organization)
        {
            self.virtual_time = flow.start;
            flow.start += flow.cost;
        }
        self.leave(ticket);
    }

    /// The ticket waits no more.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        let waiting = match self.waiting.remove(&ticket) {
            Some(Place::Rank(rank)) => self.ranks.get_mut(&rank),
            Some(Place::Launch(organization)) => {
                let flow = self.flows.get_mut(&organization);
                flow.map(|flow| &mut flow.waiting)
            }
            None => None,
        };
        if let Some(waiting) = waiting {
            waiting.remove(&ticket);
        }
    }
}
