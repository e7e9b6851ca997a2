//! A reader of message heads for judging answers. It shares no code with the engine: it takes lines apart by
//! RFC 3261 §7.3 and knows nothing more.

/// Headers of one message, in order, unfolded, with long names in lower case.
#[derive(Debug, Clone)]
pub struct Head {
    /// Start line.
    pub start: String,
    headers: Vec<(String, String)>,
}

impl Head {
    /// Reads whatever lines there are; what is no header line is passed over.
    pub fn read(bytes: &[u8]) -> Head {
        let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
        let head = text.split("\n\n").next().unwrap_or_default();
        let head = head.replace("\n ", " ").replace("\n\t", " ");
        let mut lines = head.split('\n');
        let start = lines.next().unwrap_or_default().to_owned();
        let headers = lines.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((long(name.trim()), value.trim().to_owned()))
        });
        Head { start, headers: headers.collect() }
    }

    /// Status of a response.
    pub fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// All values of a header, one a line.
    pub fn all<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h str> {
        self.headers.iter().filter(move |(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a header.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// Via values over lines and commas, without white space.
    pub fn vias(&self) -> Vec<String> {
        self.all("via").flat_map(|line| line.split(',')).map(bare).collect()
    }

    /// Port of the topmost Via: where an answer over UDP goes without rport.
    pub fn via_port(&self) -> u16 {
        let top = self.vias().into_iter().next().unwrap_or_default();
        let sent_by = top.split(';').next().unwrap_or_default();
        let after = sent_by.rsplit_once(']').map_or(sent_by, |(_, port)| port);
        after.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(5060)
    }

    /// What is wrong with this answer to that request (RFC 3261 §8.2.6.2); nothing if all is as it must be.
    pub fn faults_as_answer_to(&self, request: &Head) -> Vec<String> {
        let mut faults = Vec::new();
        for name in ["from", "call-id", "cseq"] {
            let (asked, given) = (request.first(name).map(bare), self.first(name).map(bare));
            if asked != given {
                faults.push(format!("{name} {given:?} instead of {asked:?}"));
            }
        }
        let (asked, given) = (request.vias(), self.vias());
        if asked.len() != given.len() || asked.iter().skip(1).ne(given.iter().skip(1)) {
            faults.push(format!("Via {given:?} instead of {asked:?}"));
        }
        let top = |vias: &[String]| vias.first().map(|via| without_source(via)).unwrap_or_default();
        if top(&asked) != top(&given) {
            faults.push(format!("topmost Via {:?} instead of {:?}", given.first(), asked.first()));
        }
        match (request.first("to").map(bare), self.first("to").map(bare)) {
            (Some(asked), Some(given)) if asked.to_ascii_lowercase().contains(";tag=") => {
                if asked != given {
                    faults.push(format!("To {given} instead of {asked}"));
                }
            }
            (Some(asked), Some(given)) => {
                let tag = given.strip_prefix(&asked).and_then(|rest| rest.strip_prefix(";tag="));
                if tag.is_none_or(str::is_empty) {
                    faults.push(format!("To {given} instead of {asked} with a tag"));
                }
            }
            (None, None) => {}
            (asked, given) => faults.push(format!("To {given:?} instead of {asked:?}")),
        }
        if self.first("content-length").is_none() {
            faults.push("no Content-Length".into());
        }
        faults
    }
}

/// The first whole message in a stream's bytes, by its Content-Length, and what is behind it.
pub fn cut(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let length: usize = Head::read(&bytes[..end]).first("content-length")?.parse().ok()?;
    (bytes.len() >= end + length).then(|| bytes.split_at(end + length))
}

/// Without white space: folding and separators do not count.
fn bare(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// A Via without what the receiver adds.
fn without_source(via: &str) -> String {
    let kept = via.split(';').filter(|part| {
        let name = part.split('=').next().unwrap_or_default().to_ascii_lowercase();
        name != "received" && name != "rport"
    });
    kept.collect::<Vec<_>>().join(";")
}

fn long(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "v" => "via".into(),
        "f" => "from".into(),
        "t" => "to".into(),
        "i" => "call-id".into(),
        "m" => "contact".into(),
        "l" => "content-length".into(),
        "c" => "content-type".into(),
        "s" => "subject".into(),
        _ => name,
    }
}
