//! Asks a gateway on this machine whether it takes launches, for what watches containers.

use super::args::HealthcheckArgs;
use super::error::CliError;
use crate::clock::Clock;
use crate::doctor::{ask_side_door, is_ok};
use crate::terminal::{self, Exit};

pub(super) async fn healthcheck(args: HealthcheckArgs, clock: Clock) -> Result<Exit, CliError> {
    let failed = |source| CliError::SideDoor {
        address: args.admin,
        source,
    };
    let answer = ask_side_door(args.admin, "/readyz", &clock).await;
    let answer = answer.map_err(failed)?;
    terminal::print(said(&answer))?;
    Ok(if is_ok(&answer) {
        Exit::Ok
    } else {
        Exit::Unavailable
    })
}

fn said(answer: &str) -> &str {
    let body = answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.trim_end());
    body.unwrap_or("what answers there is no side door of a gateway")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_gateway_that_says_so_is_ready() {
        for (answer, ready, text) in [
            ("HTTP/1.0 200 OK\r\na: b\r\n\r\nok\n", true, "ok"),
            (
                "HTTP/1.1 503 Service Unavailable\r\n\r\nstopping\n",
                false,
                "stopping",
            ),
            ("HTTP/1.1 404 Not Found\r\n\r\n", false, ""),
            (
                "SSH-2.0 200 x\r\n",
                false,
                "what answers there is no side door of a gateway",
            ),
            ("", false, "what answers there is no side door of a gateway"),
        ] {
            assert_eq!((is_ok(answer), said(answer)), (ready, text), "{answer}");
        }
    }
}
