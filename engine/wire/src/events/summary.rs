//! `application/simple-message-summary` (RFC 3842 §5.2).

/// Voice messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// New.
    pub new: u32,
    /// Old.
    pub old: u32,
    /// New and urgent.
    pub urgent_new: u32,
    /// Old and urgent.
    pub urgent_old: u32,
}

/// The body. `account` is the URI of the line; what could end its line is left out.
pub fn message_summary(account: &str, counts: Counts) -> Vec<u8> {
    let Counts { new, old, urgent_new, urgent_old } = counts;
    let account: String = account.chars().filter(|c| !c.is_control()).collect();
    let waiting = if new > 0 { "yes" } else { "no" };
    format!(
        "Messages-Waiting: {waiting}\r\nMessage-Account: {account}\r\n\
         Voice-Message: {new}/{old} ({urgent_new}/{urgent_old})\r\n"
    )
    .into_bytes()
}
