//! docs/operations.md has a section for each alert and a row for each reason, and its links lead somewhere.

use super::alerts::alerts;
use super::{at, read};
use cvm_gateway::domain::reason::Reason;
use std::collections::BTreeSet;

const PAGE: &str = "docs/operations.md";

#[test]
fn every_alert_has_its_section() {
    let page = read(PAGE);
    let headings = page.lines().filter_map(|line| line.strip_prefix("### "));
    let sections: BTreeSet<String> = headings.map(str::to_owned).collect();
    let mut known = BTreeSet::new();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap().to_owned();
        let link = format!("{PAGE}#{}", name.to_lowercase());
        assert_eq!(alert["annotations"]["runbook_url"], link.as_str(), "{name}");
        known.insert(name);
    }
    assert_eq!(sections, known, "the sections of {PAGE}, and the alerts");
    for section in page.split("\n### ").skip(1) {
        let (name, text) = section.split_once('\n').unwrap();
        let text = text.split("\n## ").next().unwrap();
        let tells = text.contains("- Look at") || text.contains("Look and do as");
        assert!(
            tells || text.contains("- Look whether"),
            "{name} does not say what to look at"
        );
        let acts = text.contains("- Do")
            || text.contains("Look and do as")
            || text.contains("go on with its row");
        assert!(acts, "{name} does not say what to do");
    }
}

#[test]
fn every_reason_has_its_row() {
    let page = read(PAGE);
    let table = page.split("\n## Reasons\n").nth(1).unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows: Vec<&str> = rows.map(|row| row.split('`').next().unwrap()).collect();
    let reasons: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(rows, reasons);
}

#[test]
fn the_links_of_the_pages_lead_somewhere() {
    let mut links = 0;
    for page in [PAGE, "docs/deployment.md"] {
        for link in read(page).split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            links += 1;
            assert!(leads(page, link), "{page} links to {link}");
        }
    }
    assert!(links > 40, "only {links} links were found");
}

/// Whether a link of a page of docs/ has a file, and the heading in it that it names.
fn leads(page: &str, link: &str) -> bool {
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let file = if file.is_empty() {
        page.to_owned()
    } else {
        format!("docs/{file}")
    };
    if heading.is_empty() {
        return at(&file).exists();
    }
    let text = read(&file);
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchors = headings.map(|line| {
        line.trim_start_matches('#')
            .trim()
            .to_lowercase()
            .replace(' ', "-")
    });
    anchors.into_iter().any(|anchor| anchor == heading)
}
