//! Modbus requests and answers as protocol data units (Modbus Application Protocol V1.1b3, section 6).
//!
//! Owns what is asked and whether an answer is one to it. Owns no transport ([`super::frame`]) and no meaning of registers.
//! Total: any bytes give an answer or a fault.

use crate::model::plan::Table;

/// What is asked of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Functions 01 to 04.
    Read {
        /// Which table.
        table: Table,
        /// First address.
        address: u16,
        /// How many registers (1 to 125) or bits (1 to 2000).
        count: u16,
    },
    /// Functions 05, 06, 15, 16. One register or bit is written by 05 or 06, more by 15 or 16.
    Write {
        /// `Coil` or `Holding`.
        table: Table,
        /// First address.
        address: u16,
        /// Registers, or bits as 0 and 1; 1 to 123 registers or 1968 bits.
        words: Vec<u16>,
    },
    /// Function 08, sub-function 0: the server repeats the data. Changes nothing in it.
    Echo {
        /// What it repeats.
        data: u16,
    },
}

/// What a server said to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The registers (or bits, as 0 and 1), as many as asked.
    Words(Vec<u16>),
    /// It was written, or repeated.
    Written,
    /// The server says no, with this code.
    Exception(u8),
}

/// Why bytes are no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PduFault {
    /// Of another function.
    #[error("the answer is of another kind than the request")]
    Kind,
    /// More or fewer registers than asked.
    #[error("asked for {asked} of {table}:{address}, got {got}: the answer cannot be trusted")]
    Count {
        /// Word of the table.
        table: &'static str,
        /// First address.
        address: u16,
        /// How many were asked for.
        asked: u16,
        /// How many came.
        got: usize,
    },
    /// The echo of a write is another.
    #[error("the echo of a write is not what was written")]
    Echo,
    /// The answer breaks off.
    #[error("the answer is cut off")]
    Short,
}

fn pair(word: u16) -> [u8; 2] {
    word.to_be_bytes()
}

/// Bits, eight a byte, the first in the least significant place.
fn pack(bits: &[u16]) -> Vec<u8> {
    let byte = |bits: &[u16]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit != 0));
    bits.chunks(8).map(byte).collect()
}

impl Ask {
    /// The function code; 0 for a write to a table that cannot be written.
    #[must_use]
    pub fn function(&self) -> u8 {
        match self {
            Self::Read { table, .. } => match table {
                Table::Coil => 1,
                Table::Discrete => 2,
                Table::Holding => 3,
                Table::Input => 4,
            },
            Self::Write { table, words, .. } => match (table, words.len()) {
                (Table::Coil, 1) => 5,
                (Table::Holding, 1) => 6,
                (Table::Coil, _) => 15,
                (Table::Holding, _) => 16,
                _ => 0,
            },
            Self::Echo { .. } => 8,
        }
    }

    /// The bytes of the request.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut pdu = vec![self.function()];
        match self {
            Self::Read { address, count, .. } => {
                pdu.extend(pair(*address));
                pdu.extend(pair(*count));
            }
            Self::Echo { data } => {
                pdu.extend([0, 0]);
                pdu.extend(pair(*data));
            }
            Self::Write { table, address, words } => {
                pdu.extend(pair(*address));
                match (table.is_bits(), words.as_slice()) {
                    (true, [bit]) => pdu.extend(pair(if *bit == 0 { 0 } else { 0xFF00 })),
                    (false, [word]) => pdu.extend(pair(*word)),
                    (bits, words) => {
                        pdu.extend(pair(u16::try_from(words.len()).unwrap_or(u16::MAX)));
                        let data = if bits {
                            pack(words)
                        } else {
                            words.iter().flat_map(|word| pair(*word)).collect()
                        };
                        pdu.push(u8::try_from(data.len()).unwrap_or(u8::MAX));
                        pdu.extend(data);
                    }
                }
            }
        }
        pdu
    }

    /// What `pdu` reads; `None`: it is no read.
    #[must_use]
    pub fn parse_read(pdu: &[u8]) -> Option<Self> {
        let [function, a, b, c, d] = *pdu else { return None };
        let table = match function {
            1 => Table::Coil,
            2 => Table::Discrete,
            3 => Table::Holding,
            4 => Table::Input,
            _ => return None,
        };
        Some(Self::Read {
            table,
            address: u16::from_be_bytes([a, b]),
            count: u16::from_be_bytes([c, d]),
        })
    }

    /// Bytes that an answer (no exception) has.
    #[must_use]
    pub fn answer_length(&self) -> usize {
        match self {
            Self::Read { table, count, .. } if table.is_bits() => 2 + usize::from(count.div_ceil(8)),
            Self::Read { count, .. } => 2 + 2 * usize::from(*count),
            Self::Write { .. } | Self::Echo { .. } => 5,
        }
    }

    /// What `pdu` answers to this.
    ///
    /// # Errors
    /// It is none: of another kind or length, or the echo of another write.
    pub fn decode(&self, pdu: &[u8]) -> Result<Answer, PduFault> {
        let function = self.function();
        match (self, pdu) {
            (_, [first, code, ..]) if *first == function | 0x80 => Ok(Answer::Exception(*code)),
            (_, [first, ..]) if *first != function => Err(PduFault::Kind),
            (Self::Read { table, address, count }, [_, length, data @ ..]) => {
                let length = usize::from(*length);
                let data = data.get(..length).ok_or(PduFault::Short)?;
                let wanted = usize::from(*count);
                let (fits, got) = if table.is_bits() {
                    (length == wanted.div_ceil(8), length * 8)
                } else {
                    (length == 2 * wanted, length / 2)
                };
                if !fits {
                    return Err(PduFault::Count {
                        table: table.word(),
                        address: *address,
                        asked: *count,
                        got,
                    });
                }
                Ok(Answer::Words(if table.is_bits() {
                    let bits = data
                        .iter()
                        .flat_map(|byte| (0..8).map(move |at| u16::from(byte >> at & 1)));
                    bits.take(wanted).collect()
                } else {
                    data.chunks_exact(2)
                        .map(|pair| pair.iter().fold(0, |word, byte| word << 8 | u16::from(*byte)))
                        .collect()
                }))
            }
            (Self::Write { .. } | Self::Echo { .. }, _) => match (pdu.get(..5), self.encode().get(..5)) {
                (Some(echo), Some(sent)) if echo == sent => Ok(Answer::Written),
                (Some(_), _) => Err(PduFault::Echo),
                (None, _) => Err(PduFault::Short),
            },
            _ => Err(PduFault::Short),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn requests_are_those_of_the_specification() {
        let read = |table, address, count| Ask::Read { table, address, count }.encode();
        // Modbus Application Protocol V1.1b3, sections 6.1 to 6.4.
        assert_eq!(read(Table::Coil, 0x13, 0x13), [1, 0, 0x13, 0, 0x13]);
        assert_eq!(read(Table::Discrete, 0xC4, 0x16), [2, 0, 0xC4, 0, 0x16]);
        assert_eq!(read(Table::Holding, 0x6B, 3), [3, 0, 0x6B, 0, 3]);
        assert_eq!(read(Table::Input, 8, 1), [4, 0, 8, 0, 1]);
        let write = |table, address, words: &[u16]| {
            Ask::Write {
                table,
                address,
                words: words.to_vec(),
            }
            .encode()
        };
        // 6.5, 6.6, 6.11, 6.12.
        assert_eq!(write(Table::Coil, 0xAC, &[1]), [5, 0, 0xAC, 0xFF, 0]);
        assert_eq!(write(Table::Holding, 1, &[3]), [6, 0, 1, 0, 3]);
        assert_eq!(
            write(Table::Coil, 0x13, &[1, 0, 1, 1, 0, 0, 1, 1, 1, 0]),
            [15, 0, 0x13, 0, 0x0A, 2, 0xCD, 1]
        );
        assert_eq!(
            write(Table::Holding, 1, &[0x0A, 0x0102]),
            [16, 0, 1, 0, 2, 4, 0, 0x0A, 1, 2]
        );
    }

    #[test]
    fn answers_are_taken_only_by_their_request() {
        let ask = Ask::Read {
            table: Table::Holding,
            address: 0x6B,
            count: 3,
        };
        assert_eq!(
            ask.decode(&[3, 6, 2, 0x2B, 0, 0, 0, 0x64]).unwrap(),
            Answer::Words(vec![0x22B, 0, 0x64])
        );
        assert_eq!(ask.decode(&[0x83, 2]).unwrap(), Answer::Exception(2));
        assert_eq!(ask.decode(&[4, 6, 0, 0, 0, 0, 0, 0]), Err(PduFault::Kind));
        assert!(matches!(
            ask.decode(&[3, 4, 0, 0, 0, 0]),
            Err(PduFault::Count { got: 2, .. })
        ));
        assert_eq!(ask.decode(&[3, 6, 0]), Err(PduFault::Short));
        let bits = Ask::Read {
            table: Table::Coil,
            address: 0x13,
            count: 10,
        };
        assert_eq!(
            bits.decode(&[1, 2, 0xCD, 1]).unwrap(),
            Answer::Words(vec![1, 0, 1, 1, 0, 0, 1, 1, 1, 0])
        );
        let write = Ask::Write {
            table: Table::Holding,
            address: 1,
            words: vec![3],
        };
        assert_eq!(write.decode(&[6, 0, 1, 0, 3]).unwrap(), Answer::Written);
        assert_eq!(write.decode(&[6, 0, 1, 0, 4]), Err(PduFault::Echo));
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer_or_a_fault(bytes in proptest::collection::vec(any::<u8>(), 0..300), count in 1u16..126, bits in any::<bool>()) {
            let table = if bits { Table::Discrete } else { Table::Input };
            let ask = Ask::Read { table, address: 7, count };
            if let Ok(Answer::Words(words)) = ask.decode(&bytes) {
                prop_assert_eq!(words.len(), usize::from(count));
            }
        }
    }
}
