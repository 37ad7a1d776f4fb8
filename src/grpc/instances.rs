//! ListInstances on the wire.

use super::wire::{self, invalid};
use crate::domain::ids::{Malformed, OrganizationId};
use crate::domain::instance::InstanceId;
use crate::domain::millis;
use crate::domain::names::{AccountName, Region};
use crate::domain::violation::Violations;
use crate::operations::{LaunchedInstance, LaunchedPage};
use crate::pb::v1 as pb;
use time::UtcDateTime;

/// The page that a message asks for.
pub(super) fn page(
    message: &pb::ListInstancesRequest,
    organization: &OrganizationId,
) -> Result<LaunchedPage, Violations> {
    let account = parsed("account", message.account.as_deref(), AccountName::parse)?;
    let region = parsed("region", message.region.as_deref(), Region::parse)?;
    Ok(LaunchedPage {
        organization: organization.clone(),
        account,
        region,
        after: match message.page_token.as_str() {
            "" => None,
            token => Some(open_token(token, message)?),
        },
        limit: wire::page_size(message.page_size)?,
    })
}

fn parsed<T>(
    field: &str,
    text: Option<&str>,
    parse: impl Fn(&str) -> Result<T, Malformed>,
) -> Result<Option<T>, Violations> {
    let parsed = text.map(parse).transpose();
    parsed.map_err(|malformed| invalid(field, &malformed.to_string()))
}

/// The answer with these machines; as many as were asked for mean that there may be more.
pub(super) fn answer(
    message: &pb::ListInstancesRequest,
    page: &LaunchedPage,
    machines: &[LaunchedInstance],
) -> pb::ListInstancesResponse {
    let full = u32::try_from(machines.len()).is_ok_and(|count| count == page.limit);
    let last = machines.last().filter(|_| full);
    pb::ListInstancesResponse {
        instances: machines.iter().map(instance).collect(),
        next_page_token: last.map_or_else(String::new, |last| {
            let launched = &last.launched;
            page_token(launched.create_time, &launched.owner.instance, message)
        }),
    }
}

fn instance(machine: &LaunchedInstance) -> pb::LaunchedInstance {
    let owner = &machine.launched.owner;
    pb::LaunchedInstance {
        instance: Some(wire::instance(&machine.instance)),
        operation: owner.operation.resource_name(),
        account: owner.account.to_string(),
        region: owner.region.to_string(),
        observe_time: Some(wire::timestamp(machine.observe_time)),
        failure_reason: machine
            .failure
            .map_or(0, |reason| wire::reason_number(reason).into()),
    }
}

/// Where the page after this machine begins. It is bound to the filter, which must not change.
fn page_token(time: UtcDateTime, id: &InstanceId, message: &pb::ListInstancesRequest) -> String {
    let time = millis::from_time(time);
    wire::sealed_token(&format!("{time} {id} {}", filter(message)))
}

fn open_token(
    token: &str,
    message: &pb::ListInstancesRequest,
) -> Result<(UtcDateTime, InstanceId), Violations> {
    let text = wire::token_text(token);
    let mut parts = text.splitn(3, ' ');
    let mut part = || parts.next().unwrap_or_default();
    let (time, id) = (part().parse().ok(), InstanceId::parse(part()));
    let place = time.and_then(millis::to_time).zip(id.ok());
    place.filter(|_| part() == filter(message)).ok_or_else(|| {
        invalid(
            "page_token",
            "must be the next_page_token of a page that was asked for with the same account and region",
        )
    })
}

fn filter(message: &pb::ListInstancesRequest) -> String {
    format!("{:?} {:?}", message.account, message.region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_tokens_are_bound_to_their_filter() {
        let acme = OrganizationId::parse("acme").unwrap();
        let message = |page_token: &str, account: Option<&str>| pb::ListInstancesRequest {
            page_size: 7,
            page_token: page_token.to_owned(),
            account: account.map(str::to_owned),
            region: Some("ap-shanghai".to_owned()),
        };
        let place = (UtcDateTime::UNIX_EPOCH, InstanceId::parse("ins-1").unwrap());
        let token = page_token(place.0, &place.1, &message("", Some("main")));
        let next = page(&message(&token, Some("main")), &acme).unwrap();
        assert_eq!((next.after, next.limit), (Some(place), 7));
        for (token, account) in [(token.as_str(), None), ("x", None), ("!", None)] {
            assert!(page(&message(token, account), &acme).is_err(), "{token}");
        }
        assert!(page(&message("", Some("a b")), &acme).is_err());
    }
}
