//! Faults and mistakes that the tests plant, to prove the protocol and its proofs. Without the cargo
//! feature `chaos` each macro is what it is wrapped around, and not even a name is compiled in.

#[cfg(feature = "chaos")]
mod names;
#[cfg(feature = "chaos")]
mod plan;

#[cfg(feature = "chaos")]
pub use plan::{
    Action, after, after_now, before, before_now, defect, is_mutant, rebuilt, with_fresh_token,
};

#[cfg(feature = "chaos")]
pub use names::{MUTANTS, POINTS};

/// Awaits a future, with a fault planted before or after it. Where the fault is an error, the value
/// after `else` takes the place of the future's; without one the task panics, as by a defect.
#[cfg(feature = "chaos")]
macro_rules! around {
    ($name:literal, $future:expr) => {
        $crate::chaos::around!($name, $future, else $crate::chaos::defect())
    };
    ($name:literal, $future:expr, else $error:expr) => {{
        // Here, so that what it borrows is given back at the end of this block.
        let future = $future;
        let plan = $crate::chaos::before($name).await;
        if plan == Some($crate::chaos::Action::Error) {
            $error
        } else {
            let value = future.await;
            if $crate::chaos::after($name, plan).await {
                $error
            } else {
                value
            }
        }
    }};
}

#[cfg(not(feature = "chaos"))]
macro_rules! around {
    ($name:literal, $future:expr) => {
        $future.await
    };
    ($name:literal, $future:expr, else $error:expr) => {
        $future.await
    };
}

/// As [`around`], for an expression that waits for nothing.
#[cfg(feature = "chaos")]
macro_rules! at {
    ($name:literal, $value:expr) => {
        $crate::chaos::at!($name, $value, else $crate::chaos::defect())
    };
    ($name:literal, $value:expr, else $error:expr) => {{
        let plan = $crate::chaos::before_now($name);
        if plan == Some($crate::chaos::Action::Error) {
            $error
        } else {
            let value = $value;
            if $crate::chaos::after_now($name, plan) {
                $error
            } else {
                value
            }
        }
    }};
}

#[cfg(not(feature = "chaos"))]
macro_rules! at {
    ($name:literal, $value:expr) => {
        $value
    };
    ($name:literal, $value:expr, else $error:expr) => {
        $value
    };
}

/// What is right, or the mistake of that name when it is planted.
#[cfg(feature = "chaos")]
macro_rules! wrong {
    ($name:literal, $right:expr, $wrong:expr) => {
        if $crate::chaos::is_mutant($name) {
            $wrong
        } else {
            $right
        }
    };
}

#[cfg(not(feature = "chaos"))]
macro_rules! wrong {
    ($name:literal, $right:expr, $wrong:expr) => {
        $right
    };
}

pub(crate) use {around, at, wrong};
