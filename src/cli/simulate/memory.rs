//! What a virtual device remembers, registers or variables of an OPC UA server, and where that stands.
//!
//! Owns how both are looked at and changed at once. What is in them is [`super::image`]'s and [`super::device`]'s.

use crate::device::modbus::simulator::Simulator as Registers;
use crate::device::opcua::simulator::{Kind, Simulator as Server, points};
use crate::model::Raw;
use crate::model::plan::{NodeRef, OpcuaPoint};
use crate::wire::modbus::Image;
use crate::wire::opcua::Tree;
use std::collections::BTreeMap;

/// All that a device remembers.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Memory {
    /// Registers and bits.
    Registers(Image),
    /// Variables.
    Variables(Variables),
}

/// Variables with their types.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Variables(BTreeMap<NodeRef, (Kind, Tree)>);

impl Variables {
    /// What a point says.
    pub(super) fn read(&self, at: &OpcuaPoint) -> Option<Raw> {
        let (_, tree) = self.0.get(at.node.as_ref()?)?;
        points::read(at, tree)
    }

    /// Puts what a point is to say; a field of an event is in no variable, and nothing happens.
    pub(super) fn write(&mut self, at: &OpcuaPoint, raw: &Raw) -> Result<(), String> {
        match at.node.as_ref().and_then(|node| self.0.get_mut(node)) {
            Some((kind, tree)) => points::write(at, kind, tree, raw),
            None => Ok(()),
        }
    }
}

impl Memory {
    /// The registers in it, where it has any.
    pub(super) fn registers(&mut self) -> Option<&mut Image> {
        match self {
            Self::Registers(image) => Some(image),
            Self::Variables(_) => None,
        }
    }
}

/// Where a device's memory stands: in the simulator that speaks its protocol.
#[derive(Debug, Clone)]
pub(super) enum Home {
    /// A Modbus server.
    Registers(Registers),
    /// An OPC UA server.
    Server(Server),
}

impl Home {
    /// Looks at the memory and changes it, all at once for whoever reads.
    pub(super) fn edit<T>(&self, change: impl FnOnce(&mut Memory) -> T) -> T {
        match self {
            Self::Registers(simulator) => simulator.edit(|image| {
                let mut memory = Memory::Registers(std::mem::take(image));
                let done = change(&mut memory);
                if let Memory::Registers(changed) = memory {
                    *image = changed;
                }
                done
            }),
            Self::Server(simulator) => {
                let variables = simulator.variables();
                let old = Variables(
                    variables
                        .into_iter()
                        .map(|(node, kind, tree)| (node, (kind, tree)))
                        .collect(),
                );
                let mut memory = Memory::Variables(old.clone());
                let done = change(&mut memory);
                if let Memory::Variables(new) = memory {
                    let changed = new
                        .0
                        .into_iter()
                        .filter(|(node, (_, tree))| old.0.get(node).is_none_or(|(_, old)| old != tree));
                    // What a type cannot hold was refused when it was put.
                    drop(simulator.set_all(changed.map(|(node, (_, tree))| (node, tree))));
                }
                done
            }
        }
    }

    /// Closes all connections.
    pub(super) fn cut(&self) {
        match self {
            Self::Registers(simulator) => simulator.cut(),
            Self::Server(simulator) => simulator.cut(),
        }
    }

    /// What it did for clients, for people.
    pub(super) fn served(&self) -> String {
        match self {
            Self::Registers(simulator) => format!("{} requests answered", simulator.requests()),
            Self::Server(simulator) => {
                let counts = simulator.counts();
                format!(
                    "{} connections, {} logins, {} events told",
                    counts.connections, counts.logins, counts.events
                )
            }
        }
    }
}
