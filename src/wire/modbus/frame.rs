//! Modbus frames: how a protocol data unit travels, on a serial line and by TCP.
//!
//! Owns the check sum, the header, and how a frame is found among bytes. Whether a frame is the answer that
//! somebody waits for is the driver's to say. Total: any bytes give frames, or noise.

/// Longest frame of a serial line (Modbus over Serial Line V1.02, section 2.3).
pub const LONGEST_RTU: usize = 256;
/// Longest frame by TCP (Modbus Messaging on TCP/IP V1.0b, section 3.1).
pub const LONGEST_TCP: usize = 260;

/// The check sum of a serial frame (Modbus over Serial Line V1.02, appendix B); sent low byte first.
#[must_use]
pub fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0xA001 } else { crc >> 1 }
        })
    })
}

/// A frame for a serial line.
#[must_use]
pub fn rtu(server: u8, pdu: &[u8]) -> Vec<u8> {
    let mut frame = vec![server];
    frame.extend(pdu);
    frame.extend(crc(&frame).to_le_bytes());
    frame
}

/// A frame for TCP: header of seven bytes, no check sum.
#[must_use]
pub fn tcp(transaction: u16, server: u8, pdu: &[u8]) -> Vec<u8> {
    let mut frame = transaction.to_be_bytes().to_vec();
    frame.extend([0, 0]);
    frame.extend(u16::try_from(pdu.len() + 1).unwrap_or(u16::MAX).to_be_bytes());
    frame.push(server);
    frame.extend(pdu);
    frame
}

/// A frame that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Number of the request, by TCP.
    pub transaction: u16,
    /// Who answers.
    pub server: u8,
    /// What.
    pub pdu: Vec<u8>,
}

/// Length of a serial answer, with address and check sum, as its first bytes tell; `None`: they do not.
fn length(start: &[u8]) -> Option<usize> {
    match start {
        [_, 1..=4, count, ..] => Some(usize::from(*count) + 5),
        [_, 5 | 6 | 8 | 15 | 16, ..] => Some(8),
        [_, function, ..] if function & 0x80 != 0 => Some(5),
        _ => None,
    }
}

/// Length of a serial request, with address and check sum, as its first bytes tell; `None`: they do not.
fn request_length(start: &[u8]) -> Option<usize> {
    match start {
        [_, 15 | 16, _, _, _, _, count, ..] => Some(usize::from(*count) + 9),
        [_, 1..=6 | 8, ..] => Some(8),
        _ => None,
    }
}

/// Takes the first whole answer with a right check sum out of `bytes`, and what came before it: how many bytes of noise.
/// What may still become a frame is left.
pub fn take_rtu(bytes: &mut Vec<u8>) -> Option<(Frame, usize)> {
    take(bytes, length)
}

/// [`take_rtu`] for requests: what a server hears.
pub fn take_rtu_request(bytes: &mut Vec<u8>) -> Option<(Frame, usize)> {
    take(bytes, request_length)
}

fn take(bytes: &mut Vec<u8>, length: impl Fn(&[u8]) -> Option<usize>) -> Option<(Frame, usize)> {
    for from in 0..bytes.len() {
        let rest = bytes.get(from..)?;
        let Some(whole) = length(rest).and_then(|length| rest.get(..length)) else {
            continue;
        };
        let (body, sum) = whole.split_at(whole.len().saturating_sub(2));
        if sum == crc(body).to_le_bytes() {
            let frame = Frame {
                transaction: 0,
                server: body.first().copied().unwrap_or(0),
                pdu: body.get(1..).unwrap_or_default().to_vec(),
            };
            let end = from + whole.len();
            bytes.drain(..end);
            return Some((frame, from));
        }
    }
    None
}

/// Bytes that are no Modbus by TCP: nothing behind them can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what came is no Modbus answer: its header has protocol {protocol} and length {length}")]
pub struct NoModbus {
    /// 0 in Modbus.
    pub protocol: u16,
    /// 2 to 254 in Modbus.
    pub length: u16,
}

/// Takes the first whole answer out of `bytes`; `None`: it is not all there.
///
/// # Errors
/// They begin with a header that is none of Modbus.
pub fn take_tcp(bytes: &mut Vec<u8>) -> Result<Option<Frame>, NoModbus> {
    let [t1, t2, p1, p2, l1, l2, server, rest @ ..] = bytes.as_slice() else {
        return Ok(None);
    };
    let (protocol, length) = (u16::from_be_bytes([*p1, *p2]), u16::from_be_bytes([*l1, *l2]));
    if protocol != 0 || !(2..=254).contains(&length) {
        return Err(NoModbus { protocol, length });
    }
    let Some(pdu) = rest.get(..usize::from(length) - 1) else {
        return Ok(None);
    };
    let frame = Frame {
        transaction: u16::from_be_bytes([*t1, *t2]),
        server: *server,
        pdu: pdu.to_vec(),
    };
    bytes.drain(..usize::from(length) + 6);
    Ok(Some(frame))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn check_sums_are_those_of_the_vectors() {
        for frame in [
            &[0x01, 0x03, 0x00, 0x00, 0x00, 0x0A, 0xC5, 0xCD][..],
            &[0x11, 0x03, 0x00, 0x6B, 0x00, 0x03, 0x76, 0x87],
            &[0x01, 0x04, 0x01, 0x26, 0x00, 0x01, 0xD1, 0xFD],
            &[0x01, 0x04, 0x01, 0x27, 0x00, 0x43, 0x00, 0x0C],
            &[0x01, 0x05, 0x00, 0x22, 0xFF, 0x00, 0x2C, 0x30],
        ] {
            let (body, _) = frame.split_at(frame.len() - 2);
            assert_eq!(rtu(body[0], &body[1..]), frame);
        }
    }

    #[test]
    fn an_answer_is_found_between_noise_and_half_an_answer() {
        let answer = rtu(3, &[4, 2, 0, 7]);
        let mut bytes = vec![0xFF, 3, 4, 200];
        bytes.extend(&answer);
        bytes.extend([5, 4]);
        let (frame, noise) = take_rtu(&mut bytes).unwrap();
        assert_eq!((frame.server, frame.pdu, noise), (3, vec![4, 2, 0, 7], 4));
        assert_eq!(bytes, [5, 4]);
        assert_eq!(take_rtu(&mut bytes), None);
    }

    #[test]
    fn two_answers_in_one_segment_are_two_and_a_foreign_protocol_is_told() {
        let mut bytes = tcp(7, 1, &[3, 2, 0, 1]);
        bytes.extend(tcp(8, 1, &[0x83, 2]));
        bytes.push(0);
        assert_eq!(take_tcp(&mut bytes).unwrap().unwrap().transaction, 7);
        assert_eq!(take_tcp(&mut bytes).unwrap().unwrap().pdu, [0x83, 2]);
        assert_eq!(take_tcp(&mut bytes).unwrap(), None);
        assert!(take_tcp(&mut b"HTTP/1.1 400".to_vec()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut serial = bytes.clone();
            while take_rtu(&mut serial).is_some() {}
            let mut tcp = bytes;
            while let Ok(Some(_)) = take_tcp(&mut tcp) {}
        }

        #[test]
        fn a_flipped_bit_is_no_answer(words in proptest::collection::vec(any::<u8>(), 2..40), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut pdu = vec![4, u8::try_from(words.len()).unwrap_or(0)];
            pdu.extend(&words);
            let good = rtu(9, &pdu);
            let mut bytes = good.clone();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            if let Some((frame, _)) = take_rtu(&mut bytes) {
                prop_assert!(frame.server != 9 || frame.pdu != pdu);
            }
        }
    }
}
