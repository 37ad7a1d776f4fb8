//! Holds rows that `audit export` printed, or sinks wrote, against their hashes: without the journal.

use crate::store::Anchor;
use crate::store::chain::{Hash, hash};
use crate::store::verify::Verified;
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

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
    time: Option<String>,
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
    place: Place,
}

/// Where a line is, for people.
#[derive(Clone, Debug)]
struct Place {
    /// None when there is only one.
    file: Option<Arc<str>>,
    line: usize,
}

/// A file that is read beside others.
struct Source<L> {
    name: Option<Arc<str>>,
    lines: L,
    next: Option<Next>,
    read: usize,
}

/// The line that comes next in a file.
struct Next {
    text: String,
    /// None when it is no row.
    parsed: Option<Parsed>,
    number: usize,
}

/// The first of two looks at files that make up one export: which rows others name.
#[derive(Debug, Default)]
pub struct Links {
    named: Named,
    /// The first row of each chain that is in any of the files.
    firsts: BTreeMap<String, i64>,
    /// Lines that are no rows: the first of them.
    torn: Vec<String>,
}

/// The second one.
#[derive(Debug)]
pub struct ExportCheck {
    expected: Expected,
    named: Named,
    firsts: BTreeMap<String, i64>,
    /// Of the lines that are no rows those that no row goes on from, be it before or after them.
    torn: Vec<String>,
    /// Whether there may be more of them.
    torn_overflows: bool,
    chains: BTreeMap<String, Reached>,
    /// The last rows.
    recent: VecDeque<(String, i64, Hash)>,
    /// Lines that are no rows, unless a later one goes on from where they end.
    cut: Vec<(Place, String)>,
    rows: u64,
    findings: Vec<String>,
    untold: usize,
}

impl Links {
    /// Reads a line.
    pub fn note(&mut self, line: &str) {
        let line = line.trim_end();
        let Some(parsed) = parse(line) else {
            if self.torn.len() < CUT_MAX && !line.is_empty() {
                self.torn.push(line.to_owned());
            }
            return;
        };
        let Head {
            chain, sequence, ..
        } = &parsed.head;
        let first = self.firsts.entry(chain.clone()).or_insert(*sequence);
        *first = *sequence.min(first);
        let by = format!(
            "the chain {}, which began later, names it",
            parsed.head.chain
        );
        for link in parsed.head.links {
            self.name(link, by.clone());
        }
    }

    fn name(&mut self, row: Anchor, by: String) {
        let names = self.named.entry((row.chain, row.sequence)).or_default();
        names.push((row.hash, by));
    }

    /// The second look at the same files.
    #[must_use]
    pub fn check(mut self, expected: Expected) -> ExportCheck {
        for anchor in &expected.anchors {
            self.name(anchor.clone(), "the anchor names it".to_owned());
        }
        ExportCheck {
            expected,
            named: self.named,
            firsts: self.firsts,
            torn_overflows: self.torn.len() >= CUT_MAX,
            torn: self.torn,
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
    /// Reads files side by side, a line of each at a time: gateways that share a journal each have some of the rows.
    /// A file may have a name, for people.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn read<L, E>(&mut self, files: Vec<(Option<String>, L)>) -> Result<(), E>
    where
        L: Iterator<Item = Result<String, E>>,
    {
        let sources = files
            .into_iter()
            .map(|(name, lines)| Source::new(name, lines));
        let mut sources = sources.collect::<Result<Vec<_>, E>>()?;
        loop {
            let unread = sources.iter_mut().filter(|source| source.next.is_some());
            let earliest = unread.min_by(|one, other| self.turn(one).cmp(&self.turn(other)));
            let Some(source) = earliest else {
                return Ok(());
            };
            let file = source.name.clone();
            if let Some(next) = source.advance()? {
                let line = next.number;
                self.line(&Place { file, line }, next);
            }
        }
    }

    /// Where a file stands among the others: what goes on from what was read comes before what does not yet, and what
    /// is older comes first, for rows that two files have must come soon after each other.
    fn turn<'s, L>(&self, source: &'s Source<L>) -> (bool, Option<&'s str>, i64) {
        let parsed = source.next.as_ref().and_then(|next| next.parsed.as_ref());
        let Some(Parsed { head, .. }) = parsed else {
            return (false, None, 0);
        };
        let next = match self.chains.get(&head.chain) {
            Some(reached) => Some(reached.last.sequence.saturating_add(1)),
            None => self.firsts.get(&head.chain).copied(),
        };
        let is_early = next.is_some_and(|next| head.sequence > next);
        (is_early, head.time.as_deref(), head.sequence)
    }

    fn line(&mut self, place: &Place, Next { text, parsed, .. }: Next) {
        let line = text.trim_end();
        if line.is_empty() {
            return;
        }
        let Some(parsed) = parsed else {
            if self.cut.len() < CUT_MAX {
                self.cut.push((place.clone(), line.to_owned()));
            } else {
                self.found(place, "no row of the audit");
            }
            return;
        };
        self.cut.retain(|(_, cut)| !line.starts_with(cut.as_str()));
        self.torn.retain(|torn| !line.starts_with(torn.as_str()));
        if parsed.head.event.is_some() {
            self.row(place, &parsed);
        } else if !self.chains.contains_key(&parsed.head.chain) {
            self.reach(place, &parsed);
        }
        self.hold_against_names(place, &parsed);
    }

    /// What was found, once every line was read.
    #[must_use]
    pub fn end(mut self) -> Verified {
        let torn = std::mem::take(&mut self.torn);
        for (place, cut) in std::mem::take(&mut self.cut) {
            // The whole row that another file has may have been read before.
            if place.file.is_none() || torn.contains(&cut) || self.torn_overflows {
                self.found(&place, "no row of the audit");
            }
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

    fn row(&mut self, place: &Place, parsed: &Parsed) {
        let Head {
            chain, sequence, ..
        } = &parsed.head;
        let (known, before) = match self.chains.get(chain) {
            Some(reached) => (Some(reached.last.sequence), reached.hash),
            None => (None, self.before(chain, *sequence)),
        };
        if known.is_some_and(|last| *sequence <= last) {
            return self.repeated(place, parsed);
        }
        self.rows += 1;
        let expected = known.map_or(1, |last| last + 1);
        let gap = *sequence != expected;
        if gap && (known.is_some() || before.is_none() && !self.expected.partial) {
            let last = sequence - 1;
            let what = format!("rows {expected} to {last} of chain {chain} are missing before it");
            self.found(place, &what);
        }
        let before = before.filter(|_| known.is_none() || !gap);
        if before.is_some_and(|before| hash(&before, &parsed.record) != parsed.hash) {
            let neighbour = self.chains.get(chain).map(|reached| &reached.place);
            let neighbour = neighbour.map_or(String::new(), |place| format!(", in {place}"));
            let what = format!(
                "row {sequence} of chain {chain} was changed, or the row before it{neighbour}"
            );
            self.found(place, &what);
        }
        self.reach(place, parsed);
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
    fn repeated(&mut self, place: &Place, parsed: &Parsed) {
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
            self.found(place, &what);
        }
    }

    fn reach(&mut self, place: &Place, parsed: &Parsed) {
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
            place: place.clone(),
        };
        self.chains.insert(chain.clone(), reached);
        self.recent
            .push_back((chain.clone(), *sequence, parsed.hash));
        if self.recent.len() > REPEATED_MAX {
            self.recent.pop_front();
        }
    }

    fn hold_against_names(&mut self, place: &Place, parsed: &Parsed) {
        let key = (parsed.head.chain.clone(), parsed.head.sequence);
        for (hash, by) in self.named.remove(&key).unwrap_or_default() {
            if hash != parsed.text {
                let (chain, sequence) = &key;
                let what = format!("row {sequence} of chain {chain} is not what it was, and {by}");
                self.found(place, &what);
            }
        }
    }

    fn found(&mut self, place: &Place, what: &str) {
        self.told(format!("{place}: {what}"));
    }

    fn told(&mut self, finding: String) {
        if self.findings.len() < TOLD_MAX {
            self.findings.push(finding);
        } else {
            self.untold += 1;
        }
    }
}

impl<L, E> Source<L>
where
    L: Iterator<Item = Result<String, E>>,
{
    fn new(name: Option<String>, lines: L) -> Result<Self, E> {
        let mut source = Self {
            name: name.map(Arc::from),
            lines,
            next: None,
            read: 0,
        };
        source.advance()?;
        Ok(source)
    }

    /// Gives the line that came next, and reads the one after it.
    fn advance(&mut self) -> Result<Option<Next>, E> {
        let text = self.lines.next().transpose()?;
        self.read += 1;
        let next = text.map(|text| Next {
            parsed: parse(&text),
            text,
            number: self.read,
        });
        Ok(std::mem::replace(&mut self.next, next))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        self.file
            .as_ref()
            .map_or(Ok(()), |file| write!(f, " of {file}"))
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
    use std::convert::Infallible;

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
        check_all(vec![(None, lines.to_vec())], expected)
    }

    fn check_all(files: Vec<(Option<String>, Vec<String>)>, expected: Expected) -> Verified {
        let mut links = Links::default();
        let lines = files.iter().flat_map(|(_, lines)| lines);
        lines.for_each(|line| links.note(line));
        let mut check = links.check(expected);
        let files = files.into_iter().map(|(name, lines)| {
            let lines = lines.into_iter().map(Ok::<_, Infallible>);
            (name, lines)
        });
        check.read(files.collect()).unwrap();
        check.end()
    }

    /// Both files as one export, in either order.
    fn together(one: &[String], two: &[String]) -> [Verified; 2] {
        let file = |name: &str, lines: &[String]| (Some(name.to_owned()), lines.to_vec());
        let (one, two) = (file("one", one), file("two", two));
        let orders = [vec![one.clone(), two.clone()], vec![two, one]];
        orders.map(|files| check_all(files, Expected::default()))
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

    /// Gateways that share a journal bring its rows to a file each.
    #[test]
    fn what_several_files_have_together_is_whole() {
        let all = export();
        let every_other = |from: usize| -> Vec<_> {
            let lines = all.iter().skip(from).step_by(2);
            lines.cloned().collect()
        };
        let (even, odd) = (every_other(0), every_other(1));
        for verified in together(&even, &odd) {
            assert_eq!(verified.findings, [""; 0]);
            assert_eq!(verified.rows, 6);
        }

        let missing: Vec<_> = odd[1..].to_vec();
        for verified in together(&even, &missing) {
            let found = "line 2 of one: rows 2 to 2 of chain a are missing before it";
            assert_eq!(verified.findings, [found]);
        }
        let changed = even[1].replace("outcome", "intents");
        let changed = [even[0].clone(), changed, even[2].clone()];
        for verified in together(&changed, &odd) {
            let found = "line 2 of one: row 3 of chain a was changed, or the row before it, in line 1 of two";
            assert_eq!(verified.findings, [found]);
        }
    }

    /// The one that goes on from where another crashed repeats what that one had not told.
    #[test]
    fn what_another_gateway_repeats_is_no_finding() {
        let all = export();
        let mut crashed = all[..3].to_vec();
        crashed.push(all[3].chars().take(45).collect());
        for verified in together(&crashed, &all[1..]) {
            assert_eq!(verified.findings, [""; 0]);
            assert_eq!(verified.rows, 6);
        }
        for verified in together(&crashed, &all[4..]) {
            assert_eq!(verified.findings.len(), 2, "{:?}", verified.findings);
            let torn = "line 4 of one: no row of the audit".to_owned();
            assert!(verified.findings.contains(&torn));
        }

        let timed = |second: usize| format!("\"intent\",\"time\":\"{second:05}\"");
        let [late, early] =
            [("c", 9), ("d", 1)].map(|(name, second)| chain(name, &[&timed(second)]));
        let crashed = [late[0].clone(), early[0].chars().take(45).collect()];
        for verified in together(&crashed, &[late[0].clone(), early[0].clone()]) {
            assert_eq!(verified.findings, [""; 0]);
        }

        // Either may be far ahead of what it takes to know a row again.
        let events: Vec<_> = (0..3 * REPEATED_MAX).map(timed).collect();
        let long = chain("c", &events.iter().map(String::as_str).collect::<Vec<_>>());
        for verified in together(&long, &long) {
            assert_eq!(verified.findings, [""; 0]);
            assert_eq!(verified.rows, u64::try_from(long.len()).unwrap());
        }
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
