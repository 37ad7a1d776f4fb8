//! A bar for the operation and a line for each instance, drawn in place.

use super::{addresses, short};
use crate::client::between;
use crate::pb::v1::{Instance, Operation};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::time::Duration;

const TICK: Duration = Duration::from_millis(100);
/// More would not fit a screen; the bar counts them all.
const LINES_MAX: usize = 20;

/// What is drawn on stderr.
#[derive(Debug)]
pub(super) struct Bars {
    screen: MultiProgress,
    total: ProgressBar,
    instances: Vec<ProgressBar>,
    is_named: bool,
}

impl Default for Bars {
    fn default() -> Self {
        let screen = MultiProgress::new();
        let total = screen.add(ProgressBar::new(1));
        total.set_style(style(
            "{spinner} {prefix:<16} [{bar:24}] {pos}/{len} running  {elapsed}  {msg}",
        ));
        total.enable_steady_tick(TICK);
        Self {
            screen,
            total,
            instances: Vec::new(),
            is_named: false,
        }
    }
}

impl Bars {
    pub(super) fn show(&mut self, operation: &Operation) {
        if !self.is_named {
            self.note(&operation.name);
            self.is_named = true;
        }
        let running = operation
            .instances
            .iter()
            .filter(|one| one.instance_state == "RUNNING");
        self.total.set_length(operation.instance_count.into());
        self.total
            .set_position(u64::try_from(running.count()).unwrap_or(u64::MAX));
        self.total
            .set_prefix(short(operation.state().as_str_name()));
        let note = operation.transitions.last().map(|last| last.note.clone());
        self.total.set_message(note.unwrap_or_default());
        for (index, instance) in operation.instances.iter().take(LINES_MAX).enumerate() {
            match self.instances.get(index) {
                Some(bar) => draw(bar, operation, instance),
                None => {
                    let bar = self.screen.add(ProgressBar::new_spinner());
                    bar.set_style(style("{spinner} {prefix:<16} {msg}"));
                    bar.enable_steady_tick(TICK);
                    draw(&bar, operation, instance);
                    self.instances.push(bar);
                }
            }
        }
    }

    /// A line above what is drawn.
    pub(super) fn note(&self, message: &str) {
        self.screen.suspend(|| crate::terminal::note(message));
    }

    pub(super) fn finish(&self) {
        for bar in self.instances.iter().chain([&self.total]) {
            bar.abandon();
        }
        // The cursor is left behind the last bar.
        crate::terminal::note("");
    }
}

fn draw(bar: &ProgressBar, operation: &Operation, instance: &Instance) {
    bar.set_prefix(instance.instance_id.clone());
    let mut said = format!(
        "{:<13} {}{}",
        instance.instance_state,
        addresses(instance),
        instance.failure_message
    );
    if let Some(took) = between(operation.create_time, instance.running_time) {
        said.push_str(&format!("  after {:.1} s", took.as_secs_f64()));
    }
    bar.set_message(said);
    if instance.running_time.is_some() && !bar.is_finished() {
        bar.abandon();
    }
}

/// The templates above are sound, or else the plain style does.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
