//! What `make fuzz` throws at this room.

use super::action::Action;
use super::catalog::{Catalog, EMBEDDED};
use super::door::{Letter, Received};
use super::world::{Call, Issued, World};
use super::{auth, wire};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::fmt;
use std::sync::Arc;
use time::UtcDateTime;
use time::macros::utc_datetime;

/// Inputs after which the world begins anew, so that machines by the million do not slow it down.
const WORLD_LIFE: u32 = 1000;
/// About when the seeds were signed.
const NOW: UtcDateTime = utc_datetime!(2026-11-23 01:34:14);

/// A simulator without its doors.
pub struct Fuzzed {
    catalog: Arc<Catalog>,
    world: World,
    age: u32,
}

impl Fuzzed {
    /// With the catalogue of the program; none if that cannot be read.
    #[must_use]
    pub fn new() -> Option<Self> {
        let catalog = Arc::new(Catalog::parse(EMBEDDED).ok()?);
        let world = World::new(Arc::clone(&catalog), 1, 1.0);
        Some(Self {
            catalog,
            world,
            age: 0,
        })
    }

    /// Any bytes as a signed request: a line with the query, lines of headers, an empty line, and
    /// the body. Returns whether the signature is genuine.
    #[must_use]
    pub fn verify(&self, bytes: &[u8]) -> bool {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
        let (query, lines) = head.split_once('\n').unwrap_or((head, ""));
        let headers = headers(lines);
        let letter = Letter::open(Received {
            method: if query.is_empty() {
                &Method::POST
            } else {
                &Method::GET
            },
            query,
            headers: &headers,
            body: body.as_bytes(),
        });
        let keys = auth::Keys {
            catalog: &self.catalog,
            issued: &Issued::default(),
            faults: &self.catalog.faults,
        };
        keys.known(&letter, NOW).verify(&letter, NOW).is_ok()
    }

    /// Any bytes as a form: a line with the action, and its parameters.
    pub fn form(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let (action, form) = text.split_once('\n').unwrap_or(("RunInstances", &text));
        let pairs = form_urlencoded::parse(form.as_bytes()).into_owned();
        let (Ok(action), Ok(parameters)) =
            (Action::parse(action), wire::flattened(pairs.collect()))
        else {
            return;
        };
        self.age += 1;
        if self.age == WORLD_LIFE {
            self.world = World::new(Arc::clone(&self.catalog), 1, 1.0);
            self.age = 0;
        }
        let request_id = self.world.next_request_id();
        let call = Call {
            now: NOW,
            secret_id: "AKIDfakeForLoopbackTestsOnly0000001",
            region: "ap-shanghai",
            endpoint: "",
            request_id: &request_id,
        };
        // A refusal is an answer, too.
        drop(action.carry_out(&mut self.world, &call, &parameters));
    }
}

fn headers(lines: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.lines() {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_bytes(value.trim_start().as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

impl fmt::Debug for Fuzzed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fuzzed").finish_non_exhaustive()
    }
}
