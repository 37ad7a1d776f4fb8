//! One line for each change, for logs and pipes.

use super::{addresses, short};
use crate::follow::is_over;
use crate::pb::v1::{Instance, Operation};

/// Remembers what was told.
#[derive(Debug, Default)]
pub(super) struct Lines {
    transitions: usize,
    instances: Vec<Instance>,
}

impl Lines {
    /// What `operation` shows that no earlier snapshot did.
    pub(super) fn changes(&mut self, operation: &Operation) -> Vec<String> {
        let mut lines: Vec<String> = operation
            .transitions
            .iter()
            .skip(self.transitions)
            .map(|transition| {
                let state = short(transition.state().as_str_name());
                let line = format!("{} {state} {}", operation.name, transition.note);
                line.trim_end().to_owned()
            })
            .collect();
        // The end is told last.
        let end = if is_over(operation) {
            lines.pop()
        } else {
            None
        };
        for (index, instance) in operation.instances.iter().enumerate() {
            let is_shown = !instance.instance_state.is_empty();
            if is_shown && self.instances.get(index) != Some(instance) {
                lines.push(line(instance));
            }
        }
        lines.extend(end);
        self.transitions = operation.transitions.len();
        self.instances.clone_from(&operation.instances);
        lines
    }
}

fn line(instance: &Instance) -> String {
    let parts = [
        instance.instance_id.as_str(),
        instance.instance_state.as_str(),
        &addresses(instance),
        &instance.failure_message,
    ];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::v1::{OperationState, Transition};

    fn transition(state: OperationState, note: &str) -> Transition {
        Transition {
            state: state.into(),
            time: None,
            note: note.to_owned(),
        }
    }

    #[test]
    fn only_changes_are_told_and_none_is_skipped() {
        let mut lines = Lines::default();
        let mut operation = Operation {
            name: "operations/1".to_owned(),
            transitions: vec![transition(OperationState::Accepted, "")],
            ..Operation::default()
        };
        assert_eq!(lines.changes(&operation), ["operations/1 ACCEPTED"]);
        assert_eq!(lines.changes(&operation), [""; 0]);
        operation.transitions.extend([
            transition(OperationState::Sent, "attempt 1"),
            transition(OperationState::Launched, ""),
        ]);
        let instance = |id: &str| Instance {
            instance_id: id.to_owned(),
            ..Instance::default()
        };
        operation.instances = vec![instance("ins-1"), instance("ins-2")];
        assert_eq!(
            lines.changes(&operation),
            ["operations/1 SENT attempt 1", "operations/1 LAUNCHED"]
        );
        operation.instances[1].instance_state = "RUNNING".to_owned();
        operation.instances[1].private_ip_addresses = vec!["10.0.0.4".to_owned()];
        operation.instances[1].public_ip_addresses = vec!["1.2.3.4".to_owned()];
        assert_eq!(
            lines.changes(&operation),
            ["ins-2 RUNNING 10.0.0.4 1.2.3.4"]
        );
        operation.instances[0].instance_state = "LAUNCH_FAILED".to_owned();
        operation.instances[0].failure_message = "no host".to_owned();
        operation.set_state(OperationState::Partial);
        operation
            .transitions
            .push(transition(OperationState::Partial, ""));
        assert_eq!(
            lines.changes(&operation),
            ["ins-1 LAUNCH_FAILED no host", "operations/1 PARTIAL"]
        );
    }
}
