//! Reads a request without a server, as the server would.

use super::wire;
use crate::domain::causes::chain;
use crate::domain::request::Wish;
use crate::domain::rules::Limits;
use crate::pb::json::read_request;
use time::UtcDateTime;

/// What a request without an id is called, where none is kept.
const ANY_ID: &str = "offline";

/// A wish from the JSON of a `RunInstancesRequest`, which may lack its `request_id`.
///
/// # Errors
/// What is wrong with it: everything that the door would refuse.
pub fn wish_of_json(text: &str, limits: &Limits, now: UtcDateTime) -> Result<Wish, String> {
    let mut message = read_request(text).map_err(|error| chain(&error, ": "))?;
    if message.request_id.is_empty() {
        ANY_ID.clone_into(&mut message.request_id);
    }
    wire::wish(message, limits, now).map_err(|violations| violations.to_string())
}
