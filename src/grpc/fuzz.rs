//! What `make fuzz` throws at this room.

use super::wire;
use crate::domain::request::LaunchRequest;
use crate::domain::rules::Limits;
use crate::pb::v1 as pb;
use prost::Message;
use time::UtcDateTime;

/// Any bytes as a request to launch: message, wish and rules. Nothing when it is not sound.
#[must_use]
pub fn request(bytes: &[u8]) -> Option<LaunchRequest> {
    let message = pb::RunInstancesRequest::decode(bytes).ok()?;
    let (limits, now) = (Limits::default(), UtcDateTime::UNIX_EPOCH);
    let wish = wire::wish(message, &limits, now).ok()?;
    LaunchRequest::parse(wish, &limits, now).ok()
}
