//! How one logs in.

use super::{characters, check_ids};
use crate::domain::secret::Secret;
use crate::domain::spec::LoginSettings;
use crate::domain::violation::Violations;

/// What a password may contain besides letters and digits.
const PASSWORD_SPECIALS: &str = "()`~!@#$%^&*-+=|{}[]:;',.?/";

pub(super) fn check(login: &LoginSettings, out: &mut Violations) {
    let keep = login.keep_image_login.as_deref();
    out.unless(
        matches!(keep, None | Some("true" | "false")),
        "spec.login_settings.keep_image_login",
        || "must be \"true\" or \"false\", as text".to_owned(),
    );
    let chosen = ways(login).into_iter().filter(|way| *way).count();
    out.unless(chosen <= 1, "spec.login_settings", || {
        "password, key_ids and keep_image_login exclude each other: set one".to_owned()
    });
    check_ids(&login.key_ids, "skey", "spec.login_settings.key_ids", out);
    if let Some(password) = &login.password {
        check_password(password, out);
    }
}

/// Whether any way to log in is chosen.
pub(super) fn chooses(login: &LoginSettings) -> bool {
    ways(login).contains(&true)
}

fn ways(login: &LoginSettings) -> [bool; 3] {
    [
        login.password.is_some(),
        !login.key_ids.is_empty(),
        login.keep_image_login.as_deref() == Some("true"),
    ]
}

/// The weaker rule, that of Linux: the door does not know the image's platform. The cloud judges
/// by the stronger one where the image is Windows.
fn check_password(password: &Secret, out: &mut Violations) {
    let field = "spec.login_settings.password";
    let text = password.expose();
    let length = characters(text);
    out.unless((8..=30).contains(&length), field, || {
        format!("must be 8 to 30 characters (Windows: 12 to 30), not {length}")
    });
    let classes: [fn(char) -> bool; 4] = [
        |c| c.is_ascii_lowercase(),
        |c| c.is_ascii_uppercase(),
        |c| c.is_ascii_digit(),
        |c| PASSWORD_SPECIALS.contains(c),
    ];
    let used = classes
        .iter()
        .filter(|class| text.chars().any(class))
        .count();
    out.unless(used >= 2, field, || {
        format!(
            "must mix at least 2 (Windows: 3) of a-z, A-Z, 0-9 and {PASSWORD_SPECIALS}, not {used}"
        )
    });
    let legal = text.chars().all(|c| classes.iter().any(|class| class(c)));
    out.unless(legal, field, || {
        format!("must consist of a-z, A-Z, 0-9 and {PASSWORD_SPECIALS} only")
    });
}
