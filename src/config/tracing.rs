//! The table of traces.

use super::read::authorities_beside;
use super::section::Section;
use crate::trace::Settings;
use http::Uri;
use std::path::Path;
use std::time::Duration;
use toml::de::DeValue;

/// A span takes about a kilobyte.
const QUEUE_MAX: u32 = 1_000_000;

/// None: there are no traces.
pub(super) fn tracing(table: &mut Section<'_>, folder: &Path) -> Option<Settings> {
    let endpoint = table.if_set("endpoint", |url| {
        let parsed = url.parse::<Uri>().ok();
        let parsed = parsed.filter(|url| url.host().is_some());
        let scheme = parsed.as_ref().and_then(Uri::scheme_str);
        let known = matches!(scheme, Some("http" | "https"));
        let rule = "is no URL of a collector; write one like http://127.0.0.1:4317";
        known.then(|| url.to_owned()).ok_or(rule)
    });
    let authorities = table.if_set("ca_file", |path| authorities_beside(folder, path));
    let sample_ratio = table.parsed("sample_ratio", ratio);
    let queue = table.count("queue", 1..=QUEUE_MAX);
    let timeouts = Duration::from_millis(10)..=Duration::from_secs(60);
    Some(Settings {
        timeout: table.duration_within("timeout", timeouts),
        endpoint: endpoint?,
        authorities,
        sample_ratio: sample_ratio?,
        queue: usize::try_from(queue).ok()?,
    })
}

fn ratio(value: &DeValue<'_>) -> Result<f64, String> {
    let text = match value {
        DeValue::Float(float) => float.as_str(),
        DeValue::Integer(integer) => integer.as_str(),
        DeValue::String(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => "",
    };
    let ratio = text.replace('_', "").parse().ok();
    let ratio = ratio.filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| "is no share; write a number from 0.0, none, to 1.0, all".to_owned())
}
