//! The cloud's JSON: what we ask, and what we take for an answer.

mod found;
mod outlook;
mod rows;
mod tagged;

pub use found::FoundPages;
pub use outlook::{Amounts, inquiry, offers, offers_in, price, quotas, quotas_in, regions, zones};
use rows::PageSize;
pub use rows::Rows;
pub use tagged::{TaggedPages, by_tag_key, tagged_page};

use super::{Accepted, CloudError, Fault, IDS_PER_CALL_MAX, Leaving, codes};
use crate::chaos;
use crate::domain::instance::{InstanceDetail, InstanceId, InstanceState};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::HashSet;

/// Texts for people are cut here: an error message is a sentence or two. Who shows one to a caller
/// takes the request's secrets out of it first, and cuts it shorter after.
const TEXT_BYTES_MAX: usize = 4096;
/// The longest code of the contract has 67 bytes.
const CODE_BYTES_MAX: usize = 128;

/// One page of instances, and how many there are in all.
#[derive(Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The instances of this page.
    pub instances: Vec<T>,
    /// How many instances match, over all pages.
    pub total: usize,
}

/// An answer that the cloud gave for good.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// What was asked for.
    pub value: T,
    /// The cloud's id of the call.
    pub request_id: String,
}

/// The body that asks for these instances; without the limit the cloud would answer with 20.
#[must_use]
pub fn by_ids(ids: &[InstanceId]) -> Vec<u8> {
    let ids: Vec<&str> = ids.iter().map(InstanceId::as_str).collect();
    body(&json!({ "InstanceIds": ids, "Limit": IDS_PER_CALL_MAX }))
}

/// The body that gives these instances back.
#[must_use]
pub fn terminate(leaving: Leaving<'_>) -> Vec<u8> {
    let ids = leaving.ids.iter().map(InstanceId::as_str);
    let ids: Vec<&str> = ids.collect();
    match leaving.release_addresses {
        true => body(&json!({ "InstanceIds": ids, "ReleaseAddress": true })),
        false => body(&json!({ "InstanceIds": ids })),
    }
}

/// The body that asks for the instances with a tag, those `rows`.
#[must_use]
pub fn by_tag(key: &str, value: &str, rows: Rows) -> Vec<u8> {
    let (name, value) = (format!("tag:{key}"), value);
    let (name, value) = chaos::wrong!(
        "look-up-by-zone",
        (name, value),
        ("zone".to_owned(), "ap-shanghai-2")
    );
    // As all are named for whom nobody chose a name.
    let (name, value) = chaos::wrong!(
        "look-up-by-name",
        (name, value),
        ("instance-name".to_owned(), "未命名")
    );
    body(&json!({
        "Filters": [{ "Name": name, "Values": [value] }],
        "Offset": rows.offset,
        "Limit": rows.limit,
    }))
}

fn body(json: &Value) -> Vec<u8> {
    json.to_string().into_bytes()
}

/// Reads the answer to `RunInstances`. An answer with an id twice proves nothing, and neither does a refusal
/// that names instances: what the tag finds settles it. One without ids is what a dry run gets; whether it
/// was one, the caller knows.
///
/// # Errors
/// The cloud's refusal, or [`Fault::MalformedAnswer`].
pub fn run_instances(answer: &[u8]) -> Result<Answer<Accepted>, CloudError> {
    #[derive(Deserialize)]
    struct Fields {
        #[serde(rename = "InstanceIdSet")]
        ids: Option<Vec<String>>,
    }
    let opened = open::<Fields>(answer).map_err(|error| match names_instances(answer) {
        true => malformed("has an Error beside instances", error.request_id),
        false => error,
    });
    let Answer { value, request_id } = opened?;
    let ids = value.ids.unwrap_or_default();
    let instance_ids = ids
        .iter()
        .map(|id| instance_id(id))
        .collect::<Result<Vec<_>, _>>()
        .and_then(|ids| once_each(ids, |id| id))
        .map_err(|problem| malformed(problem, Some(request_id.clone())))?;
    Ok(Answer {
        value: Accepted {
            instance_ids,
            request_id: request_id.clone(),
        },
        request_id,
    })
}

/// Whether an answer has an Error, and instances with it, in whatever form.
fn names_instances(answer: &[u8]) -> bool {
    let Ok(answer) = serde_json::from_slice::<Value>(answer) else {
        return false;
    };
    let member = |name| answer.pointer(name).filter(|value| !value.is_null());
    let none = |ids: &Value| ids.as_array().is_some_and(Vec::is_empty);
    let ids = member("/Response/InstanceIdSet");
    member("/Response/Error").is_some() && ids.is_some_and(|ids| !none(ids))
}

/// Reads the answer to `TerminateInstances`, which holds nothing.
///
/// # Errors
/// The cloud's refusal, or [`Fault::MalformedAnswer`].
pub fn terminate_instances(answer: &[u8]) -> Result<Answer<()>, CloudError> {
    #[derive(Deserialize)]
    struct Fields {}
    let Answer { value, request_id } = open::<Fields>(answer)?;
    let Fields {} = value;
    Ok(Answer {
        value: (),
        request_id,
    })
}

/// Reads the answer to `DescribeInstancesStatus` for `asked`.
///
/// # Errors
/// The cloud's refusal, or [`Fault::MalformedAnswer`], also when it names an instance that was not
/// asked for.
pub fn describe_instances_status(
    answer: &[u8],
    asked: &[InstanceId],
) -> Result<Answer<Vec<(InstanceId, InstanceState)>>, CloudError> {
    #[derive(Deserialize)]
    struct Fields {
        #[serde(rename = "InstanceStatusSet")]
        set: Option<Vec<Status>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Status {
        instance_id: Option<String>,
        instance_state: Option<String>,
    }
    let Answer { value, request_id } = open::<Fields>(answer)?;
    let states = value.set.unwrap_or_default();
    let value = states
        .into_iter()
        .map(|status| {
            Ok((
                instance_id(&status.instance_id.unwrap_or_default())?,
                state(status.instance_state)?,
            ))
        })
        .collect::<Result<Vec<_>, _>>()
        .and_then(|states| once_each(states, |(id, _)| id))
        .and_then(|states| only_asked(states, asked, |(id, _)| id))
        .map_err(|problem| malformed(problem, Some(request_id.clone())))?;
    Ok(Answer { value, request_id })
}

/// Reads the answer to `DescribeInstances` for `asked`.
///
/// # Errors
/// As [`describe_instances_status`].
pub fn describe_instances(
    answer: &[u8],
    asked: &[InstanceId],
) -> Result<Answer<Vec<InstanceDetail>>, CloudError> {
    let Answer { value, request_id } = describe_page(answer)?;
    let value = only_asked(value.instances, asked, |instance| &instance.id)
        .map_err(|problem| malformed(problem, Some(request_id.clone())))?;
    Ok(Answer { value, request_id })
}

/// Reads one page of the answer to `DescribeInstances`.
///
/// # Errors
/// The cloud's refusal, or [`Fault::MalformedAnswer`].
pub fn describe_page(answer: &[u8]) -> Result<Answer<Page<InstanceDetail>>, CloudError> {
    page(answer, Instance::read, |instance| &instance.id)
}

/// Reads one page of instances, each once.
fn page<R: DeserializeOwned, T>(
    answer: &[u8],
    read: impl Fn(R) -> Result<T, &'static str>,
    id: impl Fn(&T) -> &InstanceId,
) -> Result<Answer<Page<T>>, CloudError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Fields<R> {
        total_count: Option<usize>,
        instance_set: Option<Vec<R>>,
    }
    let Answer { value, request_id } = open::<Fields<R>>(answer)?;
    let malformed = |problem| malformed(problem, Some(request_id.clone()));
    let total = value
        .total_count
        .ok_or("has no TotalCount")
        .map_err(malformed)?;
    let instances = value.instance_set.unwrap_or_default().into_iter();
    let instances = instances
        .map(read)
        .collect::<Result<Vec<_>, _>>()
        .and_then(|instances| once_each(instances, id))
        .map_err(malformed)?;
    Ok(Answer {
        value: Page { instances, total },
        request_id,
    })
}

/// The members of an instance that we keep; any may be null or missing.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Instance {
    instance_id: Option<String>,
    instance_state: Option<String>,
    instance_name: Option<String>,
    placement: Option<Placement>,
    instance_type: Option<String>,
    private_ip_addresses: Option<Vec<Option<String>>>,
    public_ip_addresses: Option<Vec<Option<String>>>,
    latest_operation_error_msg: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Placement {
    zone: Option<String>,
}

impl Instance {
    fn read(self) -> Result<InstanceDetail, &'static str> {
        let texts = |list: Option<Vec<Option<String>>>| {
            let present = list.into_iter().flatten().flatten();
            present.map(|item| text(Some(item))).collect()
        };
        Ok(InstanceDetail {
            id: instance_id(&self.instance_id.unwrap_or_default())?,
            state: state(self.instance_state)?,
            name: text(self.instance_name),
            zone: text(self.placement.and_then(|placement| placement.zone)),
            instance_type: text(self.instance_type),
            private_ip_addresses: texts(self.private_ip_addresses),
            public_ip_addresses: texts(self.public_ip_addresses),
            latest_operation_error: text(self.latest_operation_error_msg),
        })
    }
}

/// Opens the envelope: the fields that were asked for, or the cloud's error.
fn open<T: DeserializeOwned>(answer: &[u8]) -> Result<Answer<T>, CloudError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Envelope<T> {
        response: Option<T>,
    }
    /// What every answer has; all else of it is skipped.
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Head {
        request_id: Option<Value>,
        error: Option<Value>,
    }
    let Ok(Envelope {
        response: Some(Head { request_id, error }),
    }) = serde_json::from_slice(answer)
    else {
        return Err(malformed("is not JSON with a Response", None));
    };
    let request_id = match request_id {
        Some(Value::String(id)) if !id.is_empty() => Some(text(Some(id))),
        _ => None,
    };
    if let Some(error) = error {
        return Err(refusal(error, request_id));
    }
    let Some(request_id) = request_id else {
        return Err(malformed("has no RequestId", None));
    };
    match serde_json::from_slice(answer) {
        Ok(Envelope {
            response: Some(value),
        }) => Ok(Answer { value, request_id }),
        Ok(Envelope { response: None }) | Err(_) => Err(malformed(
            "has a member of the wrong type",
            Some(request_id),
        )),
    }
}

/// The cloud's error, judged; one without a request id did not come from the cloud's API.
fn refusal(error: Value, request_id: Option<String>) -> CloudError {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Refusal {
        code: String,
        message: Option<String>,
    }
    let parsed: Result<Refusal, _> = serde_json::from_value(error);
    let Ok(Refusal { code, message }) = parsed else {
        return malformed("has an Error without a Code", request_id);
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if !(1..=CODE_BYTES_MAX).contains(&code.len()) || !code.bytes().all(plain) {
        return malformed("has an Error whose Code is none", request_id);
    }
    if request_id.is_none() {
        return malformed("has an Error but no RequestId", None);
    }
    let verdict = codes::classify(&code);
    CloudError {
        effect: verdict.effect,
        reason: verdict.reason,
        retry: verdict.retry,
        code,
        message: text(message),
        fields: verdict.fields.into_iter().map(str::to_owned).collect(),
        request_id,
    }
}

fn malformed(problem: &str, request_id: Option<String>) -> CloudError {
    CloudError {
        request_id,
        ..Fault::MalformedAnswer.error(format!("the answer {problem}"))
    }
}

fn instance_id(text: &str) -> Result<InstanceId, &'static str> {
    InstanceId::parse(text).or(Err("has an instance id that is none"))
}

fn state(name: Option<String>) -> Result<InstanceState, &'static str> {
    match text(name) {
        name if name.is_empty() => Err("has an instance without a state"),
        name => Ok(InstanceState::parse(&name)),
    }
}

fn once_each<T>(items: Vec<T>, id: impl Fn(&T) -> &InstanceId) -> Result<Vec<T>, &'static str> {
    let mut seen = HashSet::new();
    let once = items.iter().all(|item| seen.insert(id(item)));
    drop(seen);
    once.then_some(items).ok_or("has the same instance twice")
}

fn only_asked<T>(
    items: Vec<T>,
    asked: &[InstanceId],
    id: impl Fn(&T) -> &InstanceId,
) -> Result<Vec<T>, &'static str> {
    let asked: HashSet<&InstanceId> = asked.iter().collect();
    let all = items.iter().all(|item| asked.contains(id(item)));
    all.then_some(items)
        .ok_or("has an instance that was not asked for")
}

/// A text of the cloud that is safe to log and to show: control characters escaped, and cut at
/// [`TEXT_BYTES_MAX`]. Null is empty.
fn text(raw: Option<String>) -> String {
    let raw = raw.unwrap_or_default();
    if raw.len() <= TEXT_BYTES_MAX && !raw.chars().any(char::is_control) {
        return raw;
    }
    let mut clean = String::new();
    for shown in raw.chars().map(shown) {
        if clean.len() + shown.len() > TEXT_BYTES_MAX {
            break;
        }
        clean.push_str(&shown);
    }
    clean
}

/// What a text becomes within the texts of the cloud.
pub(super) fn escaped(text: &str) -> String {
    text.chars().map(shown).collect()
}

fn shown(character: char) -> String {
    if character.is_control() {
        character.escape_default().to_string()
    } else {
        character.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::{Effect, Retry};
    use crate::domain::reason::Reason;
    use proptest::prelude::*;

    fn id(text: &str) -> InstanceId {
        InstanceId::parse(text).unwrap()
    }

    #[test]
    fn questions_are_complete() {
        let ids = String::from_utf8(by_ids(&[id("ins-aaaaaaaa"), id("ins-b")])).unwrap();
        assert_eq!(
            ids,
            r#"{"InstanceIds":["ins-aaaaaaaa","ins-b"],"Limit":100}"#
        );
        let leaving = |release_addresses| {
            let ids = &[id("ins-a")];
            String::from_utf8(terminate(Leaving {
                ids,
                release_addresses,
            }))
        };
        assert_eq!(leaving(false).unwrap(), r#"{"InstanceIds":["ins-a"]}"#);
        assert_eq!(
            leaving(true).unwrap(),
            r#"{"InstanceIds":["ins-a"],"ReleaseAddress":true}"#
        );
        let rows = Rows {
            offset: 100,
            limit: 50,
        };
        let tag = String::from_utf8(by_tag("gateway", "a\"b", rows)).unwrap();
        assert_eq!(
            tag,
            r#"{"Filters":[{"Name":"tag:gateway","Values":["a\"b"]}],"Offset":100,"Limit":50}"#
        );
    }

    #[test]
    fn a_launch_is_accepted() {
        let answer = br#"{"Response":{"InstanceIdSet":["ins-r8hr2upy","ins-5d8a23rs"],
            "DeprecatedWarning":"x","RequestId":"6ef60bec-0242-43af-bb20-270359fb54a7"}}"#;
        let answer = run_instances(answer).unwrap();
        assert_eq!(answer.request_id, "6ef60bec-0242-43af-bb20-270359fb54a7");
        assert_eq!(
            answer.value,
            Accepted {
                instance_ids: vec![id("ins-r8hr2upy"), id("ins-5d8a23rs")],
                request_id: answer.request_id,
            }
        );
    }

    #[test]
    fn a_refusal_is_judged() {
        let answer = br#"{"Response":{"RequestId":"r-1","Error":{"Message":"sold out\r\nnow",
            "Code":"ResourcesSoldOut.SpecifiedInstanceType"}}}"#;
        let error = run_instances(answer).unwrap_err();
        // No instances, said in other ways.
        for none in ["null", "[]"] {
            let none = format!(r#""InstanceIdSet":{none},"RequestId""#);
            let same = String::from_utf8_lossy(answer).replace("\"RequestId\"", &none);
            assert_eq!(run_instances(same.as_bytes()).unwrap_err(), error, "{same}");
        }
        assert_eq!(
            error,
            CloudError {
                effect: Effect::Definite,
                reason: Reason::Capacity,
                retry: Retry::Later,
                code: "ResourcesSoldOut.SpecifiedInstanceType".to_owned(),
                message: r"sold out\r\nnow".to_owned(),
                fields: vec!["InstanceType".to_owned(), "Placement.Zone".to_owned()],
                request_id: Some("r-1".to_owned()),
            }
        );
    }

    /// Answers to a launch, and how each is described.
    const NO_ANSWERS: &[(&str, &str)] = &[
        ("", "is not JSON with a Response"),
        ("<html>502</html>", "is not JSON with a Response"),
        (
            "{\"Response\":{\"InstanceIdSet\":[\"ins-1\"]",
            "is not JSON with a Response",
        ),
        (
            r#"{"Response":1,"Response":2}"#,
            "is not JSON with a Response",
        ),
        ("[]", "is not JSON with a Response"),
        ("{}", "is not JSON with a Response"),
        (r#"{"Response":null}"#, "is not JSON with a Response"),
        (r#"{"Response":[]}"#, "is not JSON with a Response"),
        (r#"{"Response":{}}"#, "has no RequestId"),
        (
            r#"{"Response":{"InstanceIdSet":["ins-1"]}}"#,
            "has no RequestId",
        ),
        (
            r#"{"Response":{"InstanceIdSet":["ins-1"],"RequestId":""}}"#,
            "has no RequestId",
        ),
        (
            r#"{"Response":{"InstanceIdSet":["ins-1"],"RequestId":7}}"#,
            "has no RequestId",
        ),
        (
            r#"{"Response":{"InstanceIdSet":["a","a"],"RequestId":"r"}}"#,
            "same instance twice",
        ),
        (
            r#"{"Response":{"InstanceIdSet":["a",""],"RequestId":"r"}}"#,
            "id that is none",
        ),
        (
            r#"{"Response":{"InstanceIdSet":["a/b"],"RequestId":"r"}}"#,
            "id that is none",
        ),
        (
            r#"{"Response":{"InstanceIdSet":[1],"RequestId":"r"}}"#,
            "wrong type",
        ),
        (
            r#"{"Response":{"InstanceIdSet":"a","RequestId":"r"}}"#,
            "wrong type",
        ),
        (
            r#"{"Response":{"Error":{},"RequestId":"r"}}"#,
            "Error without a Code",
        ),
        (
            r#"{"Response":{"Error":"no","RequestId":"r"}}"#,
            "Error without a Code",
        ),
        (
            r#"{"Response":{"Error":{"Code":4},"RequestId":"r"}}"#,
            "Error without a Code",
        ),
        (
            r#"{"Response":{"Error":{"Code":""},"RequestId":"r"}}"#,
            "whose Code is none",
        ),
        (
            r#"{"Response":{"Error":{"Code":"a b"},"RequestId":"r"}}"#,
            "whose Code is none",
        ),
        (
            r#"{"Response":{"Error":{"Code":"InvalidParameter"}}}"#,
            "Error but no RequestId",
        ),
        (
            r#"{"Response":{"Error":{"Code":"ResourcesSoldOut.SpecifiedInstanceType",
                "Message":"x"},"InstanceIdSet":["ins-1"],"RequestId":"r"}}"#,
            "Error beside instances",
        ),
        (
            r#"{"Response":{"Error":{"Code":"ResourcesSoldOut.SpecifiedInstanceType",
                "Message":"x"},"InstanceIdSet":"ins-1","RequestId":"r"}}"#,
            "Error beside instances",
        ),
    ];

    #[test]
    fn an_answer_that_is_none_proves_nothing() {
        for (answer, problem) in NO_ANSWERS {
            let error = run_instances(answer.as_bytes()).unwrap_err();
            assert_eq!(error.code, "MalformedAnswer", "{answer}");
            assert_eq!(error.effect, Effect::Ambiguous, "{answer}");
            assert!(
                error.message.ends_with(problem),
                "{answer}: {}",
                error.message
            );
        }
    }

    #[test]
    fn texts_of_the_cloud_are_cut_and_cleaned() {
        assert_eq!(text(None), "");
        assert_eq!(text(Some("ümlaut 测试".to_owned())), "ümlaut 测试");
        assert_eq!(
            text(Some("a\u{1b}[31m\0\u{85}b".to_owned())),
            r"a\u{1b}[31m\u{0}\u{85}b"
        );
        assert_eq!(text(Some("测".repeat(9999))).len(), TEXT_BYTES_MAX - 1);
        assert_eq!(text(Some("\n".repeat(9999))).len(), TEXT_BYTES_MAX);
    }

    #[test]
    fn states_are_read_and_checked_against_the_question() {
        let answer = |set: &str| {
            format!(
                r#"{{"Response":{{"TotalCount":2,"InstanceStatusSet":{set},"RequestId":"r"}}}}"#
            )
        };
        let asked = [id("ins-1"), id("ins-2")];
        let good = r#"[{"InstanceId":"ins-2","InstanceState":"RUNNING","New":{}},
            {"InstanceId":"ins-1","InstanceState":"HIBERNATED"}]"#;
        let read = describe_instances_status(answer(good).as_bytes(), &asked).unwrap();
        assert_eq!(
            read.value,
            [
                (id("ins-2"), InstanceState::Running),
                (id("ins-1"), InstanceState::Other("HIBERNATED".to_owned())),
            ]
        );
        let none = describe_instances_status(answer("null").as_bytes(), &asked).unwrap();
        assert_eq!(none.value, []);
        for bad in [
            r#"[{"InstanceId":"ins-3","InstanceState":"RUNNING"}]"#,
            r#"[{"InstanceId":"ins-1","InstanceState":null}]"#,
            r#"[{"InstanceId":null,"InstanceState":"RUNNING"}]"#,
            r#"[{"InstanceId":"ins-1","InstanceState":"RUNNING"},
                {"InstanceId":"ins-1","InstanceState":"PENDING"}]"#,
            "[null]",
            "{}",
        ] {
            let error = describe_instances_status(answer(bad).as_bytes(), &asked).unwrap_err();
            assert_eq!(error.code, "MalformedAnswer", "{bad}");
            assert_eq!(error.request_id.as_deref(), Some("r"), "{bad}");
        }
    }

    fn blank(name: &str) -> InstanceDetail {
        InstanceDetail {
            id: id(name),
            state: InstanceState::Pending,
            name: String::new(),
            zone: String::new(),
            instance_type: String::new(),
            private_ip_addresses: Vec::new(),
            public_ip_addresses: Vec::new(),
            latest_operation_error: String::new(),
        }
    }

    #[test]
    fn details_are_read_and_nulls_are_empty() {
        let answer = br#"{"Response":{"TotalCount":102,"InstanceSet":[
            {"InstanceId":"ins-1","InstanceState":"LAUNCH_FAILED","InstanceName":"web-1",
             "Placement":{"Zone":"ap-shanghai-2","ProjectId":0},"InstanceType":"S5.MEDIUM2",
             "PrivateIpAddresses":["10.0.0.4",null],"PublicIpAddresses":null,"ExpiredTime":null,
             "CreatedTime":"2020-09-22T00:00:00Z","LatestOperation":"RunInstances",
             "LatestOperationState":"FAILED","LatestOperationErrorMsg":"out of luck",
             "Uuid":"e85f1388","Tags":[{"Key":"team","Value":"web"},{"Key":"x","Value":null},null]},
            {"InstanceId":"ins-2","InstanceState":"PENDING","Placement":null,"InstanceName":null,
             "CreatedTime":"soon","Tags":null}],"RequestId":"r"}}"#;
        let page = describe_page(answer).unwrap().value;
        assert_eq!(page.total, 102);
        let full = InstanceDetail {
            state: InstanceState::LaunchFailed,
            name: "web-1".to_owned(),
            zone: "ap-shanghai-2".to_owned(),
            instance_type: "S5.MEDIUM2".to_owned(),
            private_ip_addresses: vec!["10.0.0.4".to_owned()],
            latest_operation_error: "out of luck".to_owned(),
            ..blank("ins-1")
        };
        assert_eq!(page.instances, [full, blank("ins-2")]);
        let error = describe_instances(answer, &[id("ins-1")]).unwrap_err();
        assert!(error.message.ends_with("was not asked for"));
    }

    #[test]
    fn a_page_without_its_total_is_no_page() {
        for answer in [
            r#"{"Response":{"InstanceSet":[],"RequestId":"r"}}"#,
            r#"{"Response":{"TotalCount":null,"InstanceSet":[],"RequestId":"r"}}"#,
            r#"{"Response":{"TotalCount":-1,"InstanceSet":[],"RequestId":"r"}}"#,
        ] {
            let error = describe_page(answer.as_bytes()).unwrap_err();
            assert_eq!(error.code, "MalformedAnswer", "{answer}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), code in ".*") {
            prop_assert!(run_instances(&bytes).is_err());
            let error = json!({"Response": {"Error": {"Code": code}, "RequestId": "r"}});
            prop_assert!(run_instances(&body(&error)).is_err());
        }
    }
}
