//! Reads Rust text well enough for the rules: no parser, as rustfmt fixes the layout.

/// The text with its comments and literals turned into spaces.
pub(super) fn blank(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        match unread(rest) {
            Some(length) => {
                let (gone, left) = rest.split_at(length);
                code.extend(gone.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
                rest = left;
            }
            None => {
                code.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    code
}

/// The length of the comment or literal that the text begins with.
fn unread(text: &str) -> Option<usize> {
    let until = |skip: usize, end: &str| {
        text[skip..]
            .find(end)
            .map_or(text.len(), |at| skip + at + end.len())
    };
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(until(2, "*/"));
    }
    if let Some(raw) = text.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        return raw[hashes..]
            .starts_with('"')
            .then(|| until(hashes + 2, &format!("\"{}", "#".repeat(hashes))));
    }
    if text.starts_with('"') {
        return Some(quoted(text, '"'));
    }
    let mut chars = text.strip_prefix('\'')?.chars();
    // Anything else that begins with a tick is a lifetime.
    (chars.next()? == '\\' || chars.next()? == '\'').then(|| quoted(text, '\''))
}

/// The length of a literal between two `quote`s, in which `\` hides the next character.
fn quoted(text: &str, quote: char) -> usize {
    let mut hidden = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if hidden => hidden = false,
            '\\' => hidden = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// Where the tests at a file's end begin.
pub(super) fn tests_begin(code: &str) -> Option<usize> {
    let mark = "#[cfg(test)]\n";
    if code.starts_with(mark) {
        return Some(0);
    }
    code.find(&format!("\n{mark}")).map(|at| at + 1)
}

/// The first line and the length of every function.
pub(super) fn functions(code: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (first, line) in lines.iter().enumerate() {
        let text = line.trim_start();
        let mut before = text.split(' ').take_while(|word| *word != "fn");
        let qualifier = |word: &str| {
            word.starts_with("pub")
                || word.ends_with(')')
                || ["const", "async", "extern"].contains(&word)
        };
        if !text.contains("fn ") || !before.all(qualifier) {
            continue;
        }
        let indent = line.len() - text.len();
        // rustfmt puts the brace that ends a function under its beginning.
        let ends = |(at, line): &(usize, &&str)| match line.get(indent..) {
            _ if line.trim_start().len() + indent != line.len() => false,
            Some(text) if *at == first => text.ends_with(['}', ';']),
            Some(text) => text.starts_with('}') || text.ends_with(';'),
            None => false,
        };
        if let Some((last, _)) = lines.iter().enumerate().skip(first).find(ends) {
            found.push((first + 1, last - first + 1));
        }
    }
    found
}

/// The rooms that the code names, and where: `crate::room`, `crate::{room, …}`; `main` says `cvm_gateway::`.
pub(super) fn entered(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for root in ["crate::", "cvm_gateway::"] {
        for at in words(code, root) {
            let rest = &code[at + root.len()..];
            let paths = rest
                .strip_prefix('{')
                .map_or_else(|| vec![rest], first_level);
            found.extend(paths.into_iter().map(|path| (at, identifier(path))));
        }
    }
    found
}

/// The parts of a `{…}` group, from behind its opening brace, that commas of its own level divide.
fn first_level(group: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                parts.push(group[start..at].trim());
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

fn identifier(path: &str) -> String {
    path.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// Where chains of `super::` begin, and how long each is.
pub(super) fn supers(code: &str) -> Vec<(usize, usize)> {
    let step = "super::";
    words(code, step)
        .into_iter()
        .filter(|at| !code[..*at].ends_with(step))
        .map(|at| {
            let chain = &code[at..];
            (
                at,
                (chain.len() - chain.trim_start_matches(step).len()) / step.len(),
            )
        })
        .collect()
}

/// Where `name` stands in the code, not as the end of a longer name.
pub(super) fn words(code: &str, name: &str) -> Vec<usize> {
    let inside = |at: usize| code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    let found = code.match_indices(name).map(|(at, _)| at);
    found
        .filter(|at| name.starts_with('.') || !inside(*at))
        .collect()
}

pub(super) fn line(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}
