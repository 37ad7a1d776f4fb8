//! What the signatures of an action have in common, kept from one call to the next.

use super::CONTENT_TYPE;
use crate::cloud::limiter::Action;
use crate::cloud::tc3;
use arc_swap::ArcSwapOption;
use std::sync::Arc;

/// The last form of each action: nearly all of its calls go to one host.
pub(super) struct Forms([(Action, ArcSwapOption<Form>); Action::ALL.len()]);

/// Of an action at a host.
pub(super) struct Form {
    host: String,
    pub(super) signed: tc3::Form,
}

impl Forms {
    pub(super) fn new() -> Self {
        Self(Action::ALL.map(|action| (action, ArcSwapOption::empty())))
    }

    pub(super) fn of(&self, action: Action, host: &str) -> Arc<Form> {
        let kept = self.0.iter().find(|(kept, _)| *kept == action);
        let last = kept.and_then(|(_, last)| last.load_full());
        if let Some(last) = last.filter(|last| last.host == host) {
            return last;
        }
        let form = Arc::new(Form::new(action, host));
        if let Some((_, last)) = kept {
            last.store(Some(Arc::clone(&form)));
        }
        form
    }
}

impl Form {
    fn new(action: Action, host: &str) -> Self {
        let headers = [
            ("content-type", CONTENT_TYPE),
            ("host", host),
            ("x-tc-action", action.as_str()),
        ];
        Self {
            host: host.to_owned(),
            signed: tc3::Form::new("POST", "", &headers),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_kept_until_another_host_is_called() {
        let forms = Forms::new();
        let first = forms.of(Action::RunInstances, "a");
        assert!(Arc::ptr_eq(&first, &forms.of(Action::RunInstances, "a")));
        forms.of(Action::DescribeInstances, "a");
        assert!(Arc::ptr_eq(&first, &forms.of(Action::RunInstances, "a")));
        let other = forms.of(Action::RunInstances, "b");
        assert_eq!((first.host.as_str(), other.host.as_str()), ("a", "b"));
        assert_eq!(forms.of(Action::RunInstances, "a").host, "a");
    }
}
