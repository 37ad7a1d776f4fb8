//! Shows how an operation gets on: drawn in place for who watches, else line by line, or as JSON.

mod bars;
mod lines;

use crate::client::Event;
use crate::client::json::write_event;
use crate::clock::Clock;
use crate::pb::json::JsonError;
use crate::pb::v1::Instance;
use crate::terminal;
use bars::Bars;
use lines::Lines;
use std::io;
use std::time::Duration;
use tonic::Status;

/// How a command shows what it sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: one message of the stream a line, heartbeats included.
    Json,
}

/// Shows the events of one operation.
#[derive(Debug)]
pub struct Progress {
    face: Face,
    clock: Clock,
    began: Duration,
}

#[derive(Debug)]
enum Face {
    Json,
    Lines(Lines),
    Bars(Box<Bars>),
}

impl Progress {
    /// Begins to measure the time.
    #[must_use]
    pub fn new(format: Format, clock: Clock) -> Self {
        let face = match format {
            Format::Json => Face::Json,
            Format::Text if terminal::is_watched() => Face::Bars(Box::default()),
            Format::Text => Face::Lines(Lines::default()),
        };
        Self {
            face,
            began: clock.elapsed(),
            clock,
        }
    }

    /// Shows what is new.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn show(&mut self, event: &Event) -> io::Result<()> {
        let elapsed = self.clock.elapsed().saturating_sub(self.began);
        match (&mut self.face, event) {
            (Face::Json, event) => {
                let line =
                    write_event(event).map_err(|error: JsonError| io::Error::other(error))?;
                terminal::print(line)
            }
            (Face::Lines(lines), Event::Operation(operation)) => lines
                .changes(operation)
                .iter()
                .try_for_each(|line| terminal::print(format!("{} {line}", stamp(elapsed)))),
            (Face::Bars(bars), Event::Operation(operation)) => {
                bars.show(operation);
                Ok(())
            }
            (Face::Lines(_) | Face::Bars(_), Event::Heartbeat(_)) => Ok(()),
        }
    }

    /// Tells that the stream broke and is opened again after `pause`.
    pub(super) fn broke(&self, status: &Status, pause: Duration) {
        let (why, seconds) = (status.message(), pause.as_secs_f64());
        let message = format!("the stream broke ({why}); resuming in {seconds:.0} s");
        match &self.face {
            Face::Json | Face::Lines(_) => terminal::note(message),
            Face::Bars(bars) => bars.note(&message),
        }
    }

    /// Leaves the last state on the screen.
    pub fn finish(&self) {
        if let Face::Bars(bars) = &self.face {
            bars.finish();
        }
    }
}

/// `00:03.2`: minutes, seconds and tenths.
fn stamp(elapsed: Duration) -> String {
    let tenths = elapsed.as_millis() / 100;
    format!(
        "{:02}:{:02}.{}",
        tenths / 600,
        tenths / 10 % 60,
        tenths % 10
    )
}

/// Its addresses, the public ones last.
fn addresses(instance: &Instance) -> String {
    let private = &instance.private_ip_addresses;
    let all: Vec<&str> = private
        .iter()
        .chain(&instance.public_ip_addresses)
        .map(String::as_str)
        .collect();
    all.join(" ")
}

/// The name of an operation's state without its prefix.
fn short(name: &'static str) -> &'static str {
    name.strip_prefix("OPERATION_STATE_").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_minutes_seconds_and_tenths() {
        for (millis, text) in [
            (0, "00:00.0"),
            (3249, "00:03.2"),
            (61_000, "01:01.0"),
            (6_000_000, "100:00.0"),
        ] {
            assert_eq!(stamp(Duration::from_millis(millis)), text);
        }
    }
}
