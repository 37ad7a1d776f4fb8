//! The organisation's own rules: files of Cedar, read and checked against the schema as a whole.

use crate::policy::action::Action;
use crate::policy::facts::Second;
use crate::policy::layers::Layers;
use crate::policy::mentioned::Mentioned;
use crate::policy::nearest::Permit;
use crate::policy::nesting;
use crate::policy::parties::Known;
use crate::policy::slices::Slices;
use cedar_policy::{
    ActionConstraint, Effect, EntityUid, Policy, PolicyId, PolicySet, Schema, ValidationMode,
    Validator,
};
use miette::Diagnostic;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

/// What rules can speak of; it is shipped with the program.
pub const SCHEMA: &str = include_str!("schema.cedarschema");

/// How many rules a decision looks at, at most: each costs about half a microsecond.
const RULES_MAX: usize = 5_000;

/// One file of rules, layers or cases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFile {
    /// From the folder of the rules on, with `/`.
    pub name: String,
    pub text: String,
}

/// Everything that is in a folder of rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleFiles {
    /// Of Cedar.
    pub rules: Vec<RuleFile>,
    pub layers: Vec<RuleFile>,
    /// What the two must decide; the policy itself does not read them.
    pub cases: Vec<RuleFile>,
}

/// What is wrong with a file of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The file's name; empty for what is wrong with all of them.
    pub file: String,
    /// The byte where it begins.
    pub offset: usize,
    /// The rule that it breaks, and the remedy.
    pub message: String,
}

/// Sound rules.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The first half of the SHA-256 over all files, in hexadecimal.
    version: String,
    count: usize,
    pub(super) schema: Schema,
    pub(super) by_action: BTreeMap<Action, Slices>,
    /// What each rule says to whom it stops, by its id.
    pub(super) reasons: BTreeMap<String, String>,
    /// What launches are filled in with before.
    pub(super) layers: Layers,
    pub(super) second: Second,
    /// The facts that they speak of.
    pub(super) mentioned: Mentioned,
    pub(super) known: Known,
}

/// A rule with where it stands.
pub(super) struct Rule {
    file: usize,
    offset: usize,
    pub(super) policy: Policy,
    /// Whether it is on trial.
    pub(super) shadow: bool,
    /// Taken apart, if it is enforced and permits.
    pub(super) permit: Option<Arc<Permit>>,
}

impl Rules {
    /// Reads `files`, which are all the rules and layers there are.
    ///
    /// # Errors
    /// Everything that is wrong: no Cedar, unknown to the schema, without an id or with one that
    /// another rule has; no layer, an unknown field, a value that does not fit it.
    pub fn parse(files: &RuleFiles) -> Result<Self, Vec<Flaw>> {
        let mut reader = Reader::new(&files.rules)?;
        let layers = Layers::parse(&files.layers).map_err(|flaws| reader.flaws.extend(flaws));
        for (index, file) in files.rules.iter().enumerate() {
            reader.read(index, file);
        }
        reader.check_count();
        reader.check_ids();
        if reader.flaws.is_empty() {
            reader.validate();
        }
        if !reader.flaws.is_empty() {
            return Err(reader.flaws);
        }
        reader.take_permits_apart()?;
        let slices = Action::ALL.into_iter().map(|action| {
            let rules = reader.rules.iter();
            let rules = rules.filter(|rule| speaks_of(&rule.policy, action));
            Ok((action, Slices::of(rules)?))
        });
        let by_action = slices.collect::<Result<_, String>>();
        let reasons = reader.rules.iter().filter_map(|rule| {
            let reason = rule.policy.annotation("reason")?;
            Some((rule.policy.id().to_string(), reason.to_owned()))
        });
        Ok(Self {
            version: version(files.rules.iter().chain(&files.layers)),
            count: reader.rules.len(),
            mentioned: Mentioned::by(reader.rules.iter().map(|rule| &rule.policy)),
            reasons: reasons.collect(),
            by_action: by_action.map_err(|message| vec![Flaw::of_all(message)])?,
            schema: reader.schema,
            layers: layers.unwrap_or_default(),
            second: Second::default(),
            known: Known::default(),
        })
    }

    /// How many there are, those on trial included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether one of them speaks of how big models are or what they cost.
    #[must_use]
    pub fn needs_sizes(&self) -> bool {
        OF_SIZE.into_iter().any(|fact| self.mentioned.has(fact))
    }

    /// How many layers there are.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Which rules these are: the first half of the SHA-256 over all files, layers included.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// The facts that only the cloud knows.
const OF_SIZE: [&str; 5] = ["vcpu", "memory", "gpu", "price_per_hour", "price_per_month"];

impl Flaw {
    fn of_all(message: impl Display) -> Self {
        Self {
            file: String::new(),
            offset: 0,
            message: message.to_string(),
        }
    }
}

/// What was read so far.
struct Reader<'a> {
    files: &'a [RuleFile],
    schema: Schema,
    rules: Vec<Rule>,
    flaws: Vec<Flaw>,
}

impl<'a> Reader<'a> {
    fn new(files: &'a [RuleFile]) -> Result<Self, Vec<Flaw>> {
        let schema = Schema::from_cedarschema_str(SCHEMA);
        let (schema, _) = schema.map_err(|error| vec![Flaw::of_all(error)])?;
        Ok(Self {
            files,
            schema,
            rules: Vec::new(),
            flaws: Vec::new(),
        })
    }

    fn read(&mut self, index: usize, file: &RuleFile) {
        if let Some((at, message)) = nesting::too_deep(&file.text) {
            return self.flaw(index, at, message);
        }
        let policies = match PolicySet::from_str(&file.text) {
            Ok(policies) => policies,
            Err(errors) => {
                for error in errors.iter() {
                    let message = format!("no Cedar: {}", with_help(error));
                    self.flaw(index, offset(error), message);
                }
                return;
            }
        };
        for template in policies.templates() {
            let at = place(&file.text, &template.to_cedar());
            let message = "is a template, with ?principal or ?resource; write whom it is about";
            self.flaw(index, at, message);
        }
        for policy in policies.policies() {
            let at = place(&file.text, &policy.to_cedar().unwrap_or_default());
            self.add(index, at, policy);
        }
    }

    /// The annotations of Cedar are free; these three we know, and a mistyped one would be without
    /// effect in silence.
    fn add(&mut self, file: usize, offset: usize, policy: &Policy) {
        for (name, _) in policy.annotations() {
            if !["id", "reason", "mode"].contains(&name) {
                let known = "known are @id, @reason and @mode";
                self.flaw(file, offset, format!("unknown annotation @{name}; {known}"));
            }
        }
        let mode = policy.annotation("mode");
        if !matches!(mode, None | Some("shadow" | "enforce")) {
            let message = "@mode must be \"shadow\" or \"enforce\"";
            self.flaw(file, offset, message);
        }
        let id = policy.annotation("id").unwrap_or_default();
        let sound = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if id.is_empty() || id.len() > 63 || !id.chars().all(sound) {
            let rule = "1 to 63 characters of a-z A-Z 0-9 - _ .";
            let message = format!("a rule needs an id: @id(\"…\") before it, {rule}");
            self.flaw(file, offset, message);
            return;
        }
        self.rules.push(Rule {
            file,
            offset,
            policy: policy.new_id(PolicyId::new(id)),
            shadow: mode == Some("shadow"),
            permit: None,
        });
    }

    fn check_count(&mut self) {
        let count = self.rules.len();
        if count > RULES_MAX {
            let message = format!(
                "{count} rules are more than {RULES_MAX}: keep numbers and names in sets, not a rule for each"
            );
            self.flaws.push(Flaw::of_all(message));
        }
    }

    fn check_ids(&mut self) {
        self.rules
            .sort_by(|a, b| a.policy.id().cmp(b.policy.id()).then(a.file.cmp(&b.file)));
        let mut flaws = Vec::new();
        for pair in self.rules.windows(2) {
            if let [first, second] = pair
                && first.policy.id() == second.policy.id()
            {
                let id = second.policy.id();
                let other = self.files.get(first.file);
                let other = other.map_or("", |file| file.name.as_str());
                let message = format!("another rule has the id `{id}`, in {other}; rename one");
                flaws.push((second.file, second.offset, message));
            }
        }
        for (file, offset, message) in flaws {
            self.flaw(file, offset, message);
        }
    }

    /// Holds all rules against the schema.
    fn validate(&mut self) {
        let policies = self.rules.iter().map(|rule| rule.policy.clone());
        let policies = match PolicySet::from_policies(policies) {
            Ok(policies) => policies,
            Err(error) => return self.flaws.push(Flaw::of_all(error)),
        };
        let validated = Validator::new(self.schema.clone());
        let validated = validated.validate(&policies, ValidationMode::Strict);
        let errors = validated
            .validation_errors()
            .map(|error| (error.policy_id(), offset(error), with_help(error)));
        let warnings = validated
            .validation_warnings()
            .map(|warning| (warning.policy_id(), offset(warning), with_help(warning)));
        for (id, at, message) in errors.chain(warnings) {
            let rule = self.rules.iter().find(|rule| rule.policy.id() == id);
            let (file, begin) = rule.map_or((0, 0), |rule| (rule.file, rule.offset));
            let place = if at == 0 { begin } else { at };
            self.flaws.push(flaw(self.files, file, place, message));
        }
    }

    /// Once for all actions: it reads the rule again.
    fn take_permits_apart(&mut self) -> Result<(), Vec<Flaw>> {
        for rule in &mut self.rules {
            if !rule.shadow && rule.policy.effect() == Effect::Permit {
                let permit = Permit::of(&rule.policy);
                let permit = permit.map_err(|message| vec![Flaw::of_all(message)])?;
                rule.permit = Some(Arc::new(permit));
            }
        }
        Ok(())
    }

    fn flaw(&mut self, file: usize, offset: usize, message: impl Display) {
        self.flaws.push(flaw(self.files, file, offset, message));
    }
}

fn flaw(files: &[RuleFile], file: usize, offset: usize, message: impl Display) -> Flaw {
    let file = files.get(file).map(|file| file.name.clone());
    Flaw {
        file: file.unwrap_or_default(),
        offset,
        message: message.to_string(),
    }
}

/// Whether a rule can say anything of an action.
fn speaks_of(policy: &Policy, action: Action) -> bool {
    let is = |uid: &EntityUid| uid.id().unescaped() == action.as_str();
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => is(&uid),
        ActionConstraint::In(uids) => uids.iter().any(is),
    }
}

fn version<'a>(files: impl Iterator<Item = &'a RuleFile>) -> String {
    let mut hash = Sha256::new();
    for file in files {
        for part in [&file.name, &file.text] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
    }
    let hash = hash.finalize();
    hex::encode(hash.get(..16).unwrap_or_default())
}

/// Where the text of a rule begins in its file.
fn place(file: &str, rule: &str) -> usize {
    file.find(rule).unwrap_or_default()
}

fn offset(error: &impl Diagnostic) -> usize {
    let first = error.labels().and_then(|mut labels| labels.next());
    first.map_or(0, |label| label.offset())
}

fn with_help(error: &(impl Diagnostic + Display)) -> String {
    match error.help() {
        Some(help) => format!("{error}; {help}"),
        None => error.to_string(),
    }
}
