//! Reads a request without a server, as the server would.

use super::wire;
use crate::domain::causes::chain;
use crate::domain::request::LaunchRequest;
use crate::domain::rules::Limits;
use crate::domain::violation::Violations;
use crate::pb::json::read_request;
use time::UtcDateTime;

/// What a request without an id is called, where none is kept.
const ANY_ID: &str = "offline";

/// A launch from the JSON of a `RunInstancesRequest`, which may lack its `request_id`.
///
/// # Errors
/// What is wrong with it: everything that the door would refuse.
pub fn request_of_json(
    text: &str,
    limits: &Limits,
    now: UtcDateTime,
) -> Result<LaunchRequest, String> {
    let mut message = read_request(text).map_err(|error| chain(&error, ": "))?;
    if message.request_id.is_empty() {
        ANY_ID.clone_into(&mut message.request_id);
    }
    let wish = wire::wish(message, limits, now).map_err(told)?;
    LaunchRequest::parse(wish, limits, now).map_err(told)
}

fn told(violations: Violations) -> String {
    let all = violations.0.iter();
    let all = all.map(|violation| format!("{} {}", violation.field, violation.message));
    all.collect::<Vec<_>>().join("; ")
}
