//! P13: a decision by as many rules as there may be, against one by ten.

use crate::deciding::{self, decider};
use crate::report::{Bound, Chapter, Figure, Goal, digits, table};
use crate::rounds::{Spread, figures, processor_seconds_per_unit, ratio, rounds};
use cvm_gateway::policy::Policy;

const ROUNDS: usize = 15;
const TIMES: u32 = 200;
const COUNTS: [usize; 4] = [10, 100, 1_000, 5_000];

const P13: Goal = Goal {
    id: "P13",
    what: "a decision with 5,000 rules about as many callers, the most there may be: to one with 10",
    must: Bound::AtMost(3.0),
    best: Bound::AtMost(1.2),
};
const P13_TIME: Goal = Goal {
    id: "P13",
    what: "that decision, µs",
    must: Bound::Any,
    best: Bound::AtMost(4.0),
};

pub(crate) fn measure() -> Chapter {
    let policies = COUNTS.map(policy);
    let rows = rounds::<4>(ROUNDS, |rival| {
        processor_seconds_per_unit(TIMES, decider(&policies[rival]))
    });
    let micros = |rival| {
        let Spread { low, median, high } = figures(&rows, rival);
        Spread {
            low: low * 1e6,
            median: median * 1e6,
            high: high * 1e6,
        }
    };
    let row = |(rival, count): (usize, &usize)| {
        vec![
            count.to_string(),
            digits(micros(rival).median),
            digits(ratio(&rows, rival, 0).median),
        ]
    };
    Chapter {
        title: "Deciding by many rules",
        how: "Each rule names a caller, an account and an action; one of them is the caller's. Facts, entities, the decision and its reasons \
              are counted, parsing the rules is not. That the same is decided as by all rules at once is held by a random test.",
        figures: vec![
            Figure {
                goal: P13,
                measured: ratio(&rows, 3, 0),
                short: "",
            },
            Figure {
                goal: P13_TIME,
                measured: micros(3),
                short: "",
            },
        ],
        parts: table(
            &["rules", "µs", "to 10 rules"],
            COUNTS.iter().enumerate().map(row),
        ),
    }
}

fn policy(count: usize) -> Policy {
    deciding::policy(&deciding::file(
        (1..=count).map(deciding::own_rule).collect(),
    ))
}
