//! The instances of an operation as a table.

use crate::pb::v1::{Instance, Operation};

/// One line for each instance under a line of titles; columns that are empty throughout are left out.
#[must_use]
pub fn table(operation: &Operation) -> String {
    let titles = [
        "INSTANCE", "STATE", "PRIVATE", "PUBLIC", "TYPE", "ZONE", "NAME",
    ];
    let rows: Vec<[String; 7]> = operation.instances.iter().map(row).collect();
    align(&titles, &rows)
}

fn row(instance: &Instance) -> [String; 7] {
    [
        instance.instance_id.clone(),
        instance.instance_state.clone(),
        instance.private_ip_addresses.join(" "),
        instance.public_ip_addresses.join(" "),
        instance.instance_type.clone(),
        instance.zone.clone(),
        instance.instance_name.clone(),
    ]
}

/// Pads the cells of each column to the same width.
#[must_use]
pub fn align<const N: usize>(titles: &[&str; N], rows: &[[String; N]]) -> String {
    let titles = titles.map(str::to_owned);
    let mut lines = vec![String::new(); rows.len() + 1];
    for column in 0..N {
        let cells = || {
            std::iter::once(&titles)
                .chain(rows)
                .filter_map(|row| row.get(column))
        };
        let is_empty = cells().skip(1).all(String::is_empty);
        let width = cells().map(|cell| cell.chars().count()).max().unwrap_or(0);
        if !is_empty {
            for (line, cell) in lines.iter_mut().zip(cells()) {
                line.push_str(&format!("{cell:<width$}  "));
            }
        }
    }
    let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        let rows = [["ins-1", "", "a"], ["i", "", "b c"]].map(|row| row.map(str::to_owned));
        assert_eq!(
            align(&["INSTANCE", "PUBLIC", "NAME"], &rows),
            "INSTANCE  NAME\nins-1     a\ni         b c"
        );
    }
}
