//! Holds rows that `audit export` printed, or a sink wrote, against their hashes: without the journal.

use crate::store::Anchor;
use crate::store::chain::{Hash, hash};
use crate::store::verify::Verified;
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};

/// Findings that are told one by one.
const TOLD_MAX: usize = 100;
/// Rows that may come once more: a sink repeats what it wrote last, after a crash.
const REPEATED_MAX: usize = 2048;
/// Lines that may be cut off, each by a crash.
const CUT_MAX: usize = 100;

/// What is asked of an export.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Rows that somebody remembers.
    pub anchors: Vec<Anchor>,
    /// Whether what is not in the file is not asked for: rows before the first and after the last of a
    /// chain, and other chains.
    pub partial: bool,
}

/// What a line says of its row.
#[derive(Deserialize)]
struct Head {
    chain: String,
    sequence: i64,
    /// None in a line that only says how the row before the next one was hashed.
    event: Option<String>,
    #[serde(default)]
    links: Vec<Anchor>,
}

/// How a line is made up.
struct Parsed {
    head: Head,
    /// What was hashed.
    record: String,
    hash: Hash,
    /// In hex.
    text: String,
}

/// The rows that must be there, with their hashes, and who says so.
type Named = BTreeMap<(String, i64), Vec<(String, String)>>;

/// A chain, as far as it was read.
#[derive(Debug)]
struct Reached {
    /// The first row that is in the file, or that a line only names.
    first: i64,
    /// Whether it is in the file.
    is_there: bool,
    last: Anchor,
    /// None when the row is missing that comes before the next one.
    hash: Option<Hash>,
    line: usize,
}

/// The first of two looks at a file: which rows others name.
#[derive(Debug, Default)]
pub struct Links(Named);

/// The second one.
#[derive(Debug)]
pub struct ExportCheck {
    expected: Expected,
    named: Named,
    chains: BTreeMap<String, Reached>,
    /// The last rows.
    recent: VecDeque<(String, i64, Hash)>,
    /// Lines that are no rows, unless a later one goes on from where they end.
    cut: Vec<(usize, String)>,
    rows: u64,
    findings: Vec<String>,
    untold: usize,
}

impl Links {
    /// Reads a line.
    pub fn note(&mut self, line: &str) {
        let Some(parsed) = parse(line) else { return };
        let by = format!(
            "the chain {}, which began later, names it",
            parsed.head.chain
        );
        for link in parsed.head.links {
            self.name(link, by.clone());
        }
    }

    fn name(&mut self, row: Anchor, by: String) {
        let names = self.0.entry((row.chain, row.sequence)).or_default();
        names.push((row.hash, by));
    }

    /// The second look at the same file.
    #[must_use]
    pub fn check(mut self, expected: Expected) -> ExportCheck {
        for anchor in &expected.anchors {
            self.name(anchor.clone(), "the anchor names it".to_owned());
        }
        ExportCheck {
            expected,
            named: self.0,
            chains: BTreeMap::new(),
            recent: VecDeque::new(),
            cut: Vec::new(),
            rows: 0,
            findings: Vec::new(),
            untold: 0,
        }
    }
}

impl ExportCheck {
    /// Reads a line; its number is for people.
    pub fn line(&mut self, number: usize, line: &str) {
        let line = line.trim_end();
        if line.is_empty() {
            return;
        }
        let Some(parsed) = parse(line) else {
            if self.cut.len() < CUT_MAX {
                self.cut.push((number, line.to_owned()));
            } else {
                self.found(number, "no row of the audit");
            }
            return;
        };
        self.cut.retain(|(_, cut)| !line.starts_with(cut.as_str()));
        if parsed.head.event.is_some() {
            self.row(number, &parsed);
        } else if !self.chains.contains_key(&parsed.head.chain) {
            self.reach(number, &parsed);
        }
        self.hold_against_names(number, &parsed);
    }

    /// What was found, once every line was read.
    #[must_use]
    pub fn end(mut self) -> Verified {
        for (number, _) in std::mem::take(&mut self.cut) {
            self.found(number, "no row of the audit");
        }
        for ((chain, sequence), names) in std::mem::take(&mut self.named) {
            let reached = self.chains.get(&chain);
            let before = reached.is_some_and(|reached| sequence < reached.first);
            let outside = reached.is_none_or(|reached| sequence > reached.last.sequence);
            // The first row was held against the one before it, which the anchor knows.
            let next =
                reached.is_some_and(|reached| reached.is_there && sequence + 1 == reached.first);
            let anchors = &mut self.expected.anchors.iter();
            let anchored =
                anchors.any(|anchor| anchor.chain == chain && anchor.sequence == sequence);
            let asked = anchored && !next && !self.expected.partial;
            if before && !asked || outside && self.expected.partial {
                continue;
            }
            for (_, by) in names {
                self.told(format!(
                    "row {sequence} of chain {chain} is missing, and {by}"
                ));
            }
        }
        if self.untold > 0 {
            self.findings.push(format!("and {} more", self.untold));
        }
        let ends = self.chains.into_values().map(|reached| reached.last);
        Verified {
            rows: self.rows,
            unchained: 0,
            findings: self.findings,
            ends: ends.collect(),
        }
    }

    fn row(&mut self, number: usize, parsed: &Parsed) {
        let Head {
            chain, sequence, ..
        } = &parsed.head;
        let (known, before) = match self.chains.get(chain) {
            Some(reached) => (Some(reached.last.sequence), reached.hash),
            None => (None, self.before(chain, *sequence)),
        };
        if known.is_some_and(|last| *sequence <= last) {
            return self.repeated(number, parsed);
        }
        self.rows += 1;
        let expected = known.map_or(1, |last| last + 1);
        let gap = *sequence != expected;
        if gap && (known.is_some() || before.is_none() && !self.expected.partial) {
            let last = sequence - 1;
            let what = format!("rows {expected} to {last} of chain {chain} are missing before it");
            self.found(number, &what);
        }
        let before = before.filter(|_| known.is_none() || !gap);
        if before.is_some_and(|before| hash(&before, &parsed.record) != parsed.hash) {
            let neighbour = self.chains.get(chain).map(|reached| reached.line);
            let neighbour = neighbour.map_or(String::new(), |line| format!(", in line {line}"));
            let what = format!(
                "row {sequence} of chain {chain} was changed, or the row before it{neighbour}"
            );
            self.found(number, &what);
        }
        self.reach(number, parsed);
    }

    /// The hash before the first row of a chain in the file, if it is known.
    fn before(&self, chain: &str, sequence: i64) -> Option<Hash> {
        if sequence == 1 {
            return Some(Hash::default());
        }
        let anchors = self.expected.anchors.iter();
        let mut own = anchors.filter(|anchor| anchor.chain == chain);
        let anchor = own.find(|anchor| anchor.sequence == sequence - 1)?;
        read_hash(&anchor.hash)
    }

    /// A row that a sink wrote twice is the same both times.
    fn repeated(&mut self, number: usize, parsed: &Parsed) {
        let Head {
            chain, sequence, ..
        } = &parsed.head;
        let recent = |wanted: i64| {
            let mut rows = self.recent.iter().rev();
            let row = rows.find(|(of, sequence, _)| of == chain && *sequence == wanted);
            row.map(|(_, _, hash)| *hash)
        };
        let before = if *sequence == 1 {
            Some(Hash::default())
        } else {
            recent(sequence - 1)
        };
        let follows = before.is_none_or(|before| hash(&before, &parsed.record) == parsed.hash);
        if !follows || recent(*sequence) != Some(parsed.hash) {
            let what = format!("row {sequence} of chain {chain} comes again, and is another one");
            self.found(number, &what);
        }
    }

    fn reach(&mut self, number: usize, parsed: &Parsed) {
        let Head {
            chain, sequence, ..
        } = &parsed.head;
        let last = Anchor {
            chain: chain.clone(),
            sequence: *sequence,
            hash: parsed.text.clone(),
        };
        let known = self.chains.get(chain);
        let known = known.map(|reached| (reached.first, reached.is_there));
        let (first, is_there) = known.unwrap_or((*sequence, parsed.head.event.is_some()));
        let reached = Reached {
            first,
            is_there,
            last,
            hash: Some(parsed.hash),
            line: number,
        };
        self.chains.insert(chain.clone(), reached);
        self.recent
            .push_back((chain.clone(), *sequence, parsed.hash));
        if self.recent.len() > REPEATED_MAX {
            self.recent.pop_front();
        }
    }

    fn hold_against_names(&mut self, number: usize, parsed: &Parsed) {
        let key = (parsed.head.chain.clone(), parsed.head.sequence);
        for (hash, by) in self.named.remove(&key).unwrap_or_default() {
            if hash != parsed.text {
                let (chain, sequence) = &key;
                let what = format!("row {sequence} of chain {chain} is not what it was, and {by}");
                self.found(number, &what);
            }
        }
    }

    fn found(&mut self, number: usize, what: &str) {
        self.told(format!("line {number}: {what}"));
    }

    fn told(&mut self, finding: String) {
        if self.findings.len() < TOLD_MAX {
            self.findings.push(finding);
        } else {
            self.untold += 1;
        }
    }
}

/// None when it is no line of an export.
fn parse(line: &str) -> Option<Parsed> {
    let (rest, hash) = line.trim_end().rsplit_once(",\"hash\":\"")?;
    let text = hash.strip_suffix("\"}")?;
    let record = format!("{rest}}}");
    Some(Parsed {
        head: serde_json::from_str(&record).ok()?,
        record,
        hash: read_hash(text)?,
        text: text.to_owned(),
    })
}

fn read_hash(text: &str) -> Option<Hash> {
    Hash::try_from(hex::decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of one chain, as they are exported.
    fn chain(name: &str, events: &[&str]) -> Vec<String> {
        let mut before = Hash::default();
        let rows = (1..).zip(events).map(|(sequence, event)| {
            let record =
                format!("{{\"chain\":\"{name}\",\"event\":{event},\"sequence\":{sequence}}}");
            before = hash(&before, &record);
            let record = record.strip_suffix('}').unwrap();
            format!("{record},\"hash\":\"{}\"}}", hex::encode(before))
        });
        rows.collect()
    }

    fn anchor(line: &str) -> Anchor {
        serde_json::from_str(line).unwrap()
    }

    /// Two chains, of which the second names the end of the first.
    fn export() -> Vec<String> {
        let mut lines = chain(
            "a",
            &["\"chain\"", "\"intent\"", "\"outcome\"", "\"intent\""],
        );
        let end = serde_json::to_string(&anchor(&lines[3])).unwrap();
        let begin = format!("\"chain\",\"links\":[{end}]");
        lines.extend(chain("b", &[&begin, "\"outcome\""]));
        lines
    }

    fn check(lines: &[String], expected: Expected) -> Verified {
        let mut links = Links::default();
        lines.iter().for_each(|line| links.note(line));
        let mut check = links.check(expected);
        for (number, line) in (1..).zip(lines) {
            check.line(number, line);
        }
        check.end()
    }

    fn findings(lines: &[String]) -> Vec<String> {
        check(lines, Expected::default()).findings
    }

    #[test]
    fn what_was_exported_is_as_it_was_written() {
        let lines = export();
        let verified = check(&lines, Expected::default());
        assert_eq!(verified.findings, [""; 0]);
        assert_eq!(verified.rows, 6);
        assert_eq!(verified.ends, [anchor(&lines[3]), anchor(&lines[5])]);
    }

    #[test]
    fn what_was_done_to_a_file_is_found_by_its_line() {
        let all = export();
        let mut changed = all.clone();
        changed[2] = changed[2].replace("outcome", "intents");
        let found = "line 3: row 3 of chain a was changed, or the row before it, in line 2";
        assert_eq!(findings(&changed), [found]);

        let mut missing = all.clone();
        drop(missing.drain(1..3));
        let found = "line 2: rows 2 to 3 of chain a are missing before it";
        assert_eq!(findings(&missing), [found]);

        let missing = [all[0].clone(), all[4].clone(), all[5].clone()];
        let found = "row 4 of chain a is missing, and the chain b, which began later, names it";
        assert_eq!(findings(&missing), [found]);
        assert_eq!(findings(&all[4..]), [found]);

        let swapped = [0, 2, 1, 3, 4, 5].map(|line| all[line].clone());
        let [gap, again] = &findings(&swapped)[..] else {
            panic!("{:?}", findings(&swapped));
        };
        assert_eq!(gap, "line 2: rows 2 to 2 of chain a are missing before it");
        assert!(again.starts_with("line 3: row 2 of chain a comes again"));

        // Who counts the hashes of a chain anew is found by whoever names its end.
        let mut forged = chain("a", &["\"chain\"", "\"intent\"", "\"eve\"", "\"intent\""]);
        forged.extend_from_slice(&all[4..]);
        let found = "line 4: row 4 of chain a is not what it was, and the chain b, which began later, names it";
        assert_eq!(findings(&forged), [found]);
        forged[1] = "{\"chain\":\"a\"}".to_owned();
        assert!(findings(&forged).contains(&"line 2: no row of the audit".to_owned()));
    }

    #[test]
    fn a_part_is_held_against_what_comes_before_it() {
        let all = export();
        let part = &all[2..];
        let found = "line 1: rows 1 to 2 of chain a are missing before it";
        assert_eq!(findings(part), [found]);
        let mut partial = Expected {
            partial: true,
            ..Expected::default()
        };
        assert_eq!(check(part, partial.clone()).findings, [""; 0]);
        assert_eq!(check(&all[5..], partial.clone()).findings, [""; 0]);

        // The line before its first row makes the first row provable, too.
        let before = serde_json::to_string(&anchor(&all[1])).unwrap();
        let mut told = part.to_vec();
        told.insert(0, before);
        assert_eq!(findings(&told), [""; 0]);
        told[1] = told[1].replace("outcome", "intents");
        let found = "line 2: row 3 of chain a was changed, or the row before it, in line 1";
        assert_eq!(findings(&told), [found]);

        // So does a file that somebody else kept.
        let mut changed = part.to_vec();
        changed[0] = changed[0].replace("outcome", "intents");
        partial.anchors = vec![anchor(&all[1])];
        assert_eq!(check(part, partial.clone()).findings, [""; 0]);
        let found = "line 1: row 3 of chain a was changed, or the row before it";
        assert_eq!(check(&changed, partial).findings, [found]);
    }

    /// Whoever takes rows away from the front may write down which row came before the rest.
    #[test]
    fn an_anchor_is_missed_at_the_front_too() {
        let all = export();
        let of_row = |index: usize| Expected {
            anchors: vec![anchor(&all[index])],
            ..Expected::default()
        };
        let before = serde_json::to_string(&anchor(&all[1])).unwrap();
        let mut cut = all[2..].to_vec();
        cut.insert(0, before);
        let found = "row 1 of chain a is missing, and the anchor names it";
        assert_eq!(check(&cut, of_row(0)).findings, [found]);
        assert_eq!(check(&cut, of_row(1)).findings, [""; 0]);
        assert_eq!(
            check(&all[2..], of_row(1)).findings,
            [""; 0],
            "it goes on from it"
        );
    }

    #[test]
    fn what_a_sink_repeats_and_cuts_is_no_finding() {
        let all = export();
        let mut lines = all[..3].to_vec();
        lines.push(all[3].chars().take(40).collect());
        lines.extend_from_slice(&all[1..]);
        assert_eq!(findings(&lines), [""; 0]);
        lines[5] = lines[5].replace("outcome", "intents");
        let found = "line 6: row 3 of chain a comes again, and is another one";
        assert_eq!(findings(&lines), [found]);
        lines.truncate(4);
        assert_eq!(findings(&lines), ["line 4: no row of the audit"]);
    }

    #[test]
    fn an_anchor_tells_that_the_end_was_cut_off() {
        let all = export();
        let expected = Expected {
            anchors: vec![anchor(&all[5])],
            partial: false,
        };
        assert_eq!(check(&all, expected.clone()).findings, [""; 0]);
        let found = "row 2 of chain b is missing, and the anchor names it";
        assert_eq!(check(&all[..5], expected).findings, [found]);
    }

    /// Rows of before there were `changes`, `sizes` and refused calls; hashed by another implementation.
    #[test]
    fn what_an_earlier_version_wrote_is_verified() {
        let text = include_str!("../../testdata/journal/audit-v1.jsonl");
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        let verified = check(&lines, Expected::default());
        assert_eq!((verified.findings, verified.rows), (Vec::new(), 5));
    }
}
