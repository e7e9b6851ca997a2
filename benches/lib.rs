//! Benches only; run `make bench`. Here is what several of them read.

/// 11 headers, with an answer to a challenge, as a desk phone sends it.
pub const REGISTER: &str = "REGISTER sip:10.20.30.40 SIP/2.0\r\n\
    Via: SIP/2.0/TCP 10.1.2.3:52310;branch=z9hG4bK4f7a1c22;rport\r\n\
    From: <sip:1001@10.20.30.40>;tag=001122334455000a5c2b3d4e-6f7a8b9c\r\n\
    To: <sip:1001@10.20.30.40>\r\n\
    Call-ID: 00112233-44550002-5a6b7c8d-9eafb0c1@10.1.2.3\r\n\
    Max-Forwards: 70\r\n\
    CSeq: 102 REGISTER\r\n\
    Contact: <sip:1001@10.1.2.3:52310;transport=tcp>;+sip.instance=\"<urn:uuid:00000000-0000-0000-0000-001122334455>\";+u.sip!model.ccm.cisco.com=\"622\"\r\n\
    Authorization: Digest username=\"anna\",realm=\"ccmsipline\",uri=\"sip:10.20.30.40\",response=\"6629fae49393a05397450978507c4ef1\",nonce=\"IAAAAAFnQ0hAT3bqYlZ0n1H2aXn0b3V4mP8r2Q1x\",qop=auth,cnonce=\"0a4f113b\",nc=00000001,algorithm=MD5\r\n\
    Expires: 3600\r\n\
    Content-Length: 0\r\n\r\n";
