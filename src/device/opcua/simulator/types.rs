//! The data types of a simulated server: what its nodes describe and its values are encoded by.
//!
//! Owns descriptions whose namespaces are names; a run gives them numbers ([`super::table`]).

use crate::model::plan::NodeRef;
use crate::wire::opcua::types::StructureKind;
use crate::wire::opcua::{Structure, Tree};
use std::sync::Arc;

/// A data type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataType {
    /// Its node.
    pub node: NodeRef,
    /// Its browse name.
    pub name: Arc<str>,
    /// The type above it.
    pub base: NodeRef,
    /// What it consists of.
    pub shape: Shape,
}

/// What a data type consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// A structure of these members, behind those of its base type.
    Structure {
        /// The node of its encoding `Default Binary`.
        encoding: NodeRef,
        /// Its own members.
        members: Vec<Member>,
    },
    /// An enumeration: values and their names.
    Enumeration(Vec<(i64, Arc<str>)>),
}

/// A member of a structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: Arc<str>,
    /// Its data type.
    pub data_type: NodeRef,
    /// An array of it.
    pub list: bool,
    /// It may be left out.
    pub optional: bool,
    /// It may be of any subtype.
    pub subtypes: bool,
}

/// Members that some node sets name otherwise: the 1.01.0 of Joining Systems Base that reference servers carry says `High`.
const SAME: &[(&str, &str)] = &[("HighLimit", "High")];

/// `BaseDataType`: a value of any type.
pub(super) const ANY: NodeRef = NodeRef::core(24);
/// `Structure`
pub(super) const STRUCTURE: NodeRef = NodeRef::core(22);
/// `Enumeration`
pub(super) const ENUMERATION: NodeRef = NodeRef::core(29);

/// All data types of a server beside those of namespace 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataTypes(pub Vec<DataType>);

impl DataTypes {
    /// The one of this node.
    #[must_use]
    pub fn get(&self, node: &NodeRef) -> Option<&DataType> {
        self.0.iter().find(|data_type| data_type.node == *node)
    }

    /// Takes a type, in place of one with the same node.
    pub fn insert(&mut self, new: DataType) {
        match self.0.iter_mut().find(|old| old.node == new.node) {
            Some(old) => *old = new,
            None => self.0.push(new),
        }
    }

    /// All members of a structure in order, those of its base types first.
    #[must_use]
    pub fn members(&self, node: &NodeRef) -> Vec<&Member> {
        let mut all = Vec::new();
        let mut of = self.get(node);
        let mut steps = 0;
        while let Some(data_type) = of {
            if let Shape::Structure { members, .. } = &data_type.shape {
                all.splice(0..0, members);
            }
            steps += 1;
            of = self.get(&data_type.base).filter(|_| steps < self.0.len());
        }
        all
    }

    /// How a structure is laid out.
    #[must_use]
    pub fn kind(&self, node: &NodeRef) -> StructureKind {
        let members = self.members(node);
        if members.iter().any(|member| member.subtypes) {
            StructureKind::Subtyped
        } else if members.iter().any(|member| member.optional) {
            StructureKind::Optional
        } else {
            StructureKind::Plain
        }
    }

    fn is_a(&self, node: &NodeRef, ancestor: &NodeRef) -> bool {
        let mut of = Some(node.clone());
        for _ in 0..=self.0.len() {
            let Some(node) = of else { return false };
            if node == *ancestor {
                return true;
            }
            of = self.get(&node).map(|data_type| data_type.base.clone());
        }
        false
    }

    /// The tree with every structure in it named, as far as its members tell which it is: what a hand writes has no names.
    #[must_use]
    pub fn named(&self, tree: &Tree, of: &NodeRef) -> Tree {
        self.name(tree, of, false)
    }

    fn name(&self, tree: &Tree, of: &NodeRef, subtypes: bool) -> Tree {
        match tree {
            Tree::List(items) => Tree::List(items.iter().map(|item| self.name(item, of, subtypes)).collect()),
            Tree::Struct(structure) => {
                let Some(found) = self.which(structure, of, subtypes) else {
                    return tree.clone();
                };
                let members = self.members(&found.node);
                let field = |(name, tree): &(Arc<str>, Tree)| {
                    let known = |name: &str| members.iter().find(|member| *member.name == *name);
                    let other = || {
                        SAME.iter()
                            .find(|(_, other)| *other == &**name)
                            .and_then(|(name, _)| known(name))
                    };
                    let name = known(name).or_else(other).map_or(name, |member| &member.name);
                    let member = members.iter().find(|member| member.name == *name);
                    let named = match member {
                        Some(member) => self.name(tree, &member.data_type, member.subtypes),
                        None => tree.clone(),
                    };
                    (name.clone(), named)
                };
                Tree::Struct(Arc::new(Structure {
                    name: found.name.clone(),
                    fields: structure.fields.iter().map(field).collect(),
                }))
            }
            other => other.clone(),
        }
    }

    /// Which type a structure is: that it says, else the declared one, else, where any may stand, one that has all its fields.
    fn which(&self, structure: &Structure, of: &NodeRef, subtypes: bool) -> Option<&DataType> {
        if !structure.name.is_empty() {
            return self.0.iter().find(|data_type| data_type.name == structure.name);
        }
        let any = *of == ANY || *of == STRUCTURE;
        if !any && !subtypes {
            return self.get(of);
        }
        let fits = |data_type: &&DataType| {
            let members = self.members(&data_type.node);
            let is = |member: &Member, name: &str| *member.name == *name || SAME.contains(&(&*member.name, name));
            let has = |(name, _): &(Arc<str>, Tree)| members.iter().any(|member| is(member, name));
            matches!(data_type.shape, Shape::Structure { .. }) && structure.fields.iter().all(has)
        };
        let fitting = self.0.iter().filter(fits);
        if any {
            fitting.min_by_key(|data_type| self.members(&data_type.node).len())
        } else {
            // The one with the most members is the one that the model means.
            fitting
                .filter(|data_type| self.is_a(&data_type.node, of))
                .max_by_key(|data_type| self.members(&data_type.node).len())
        }
    }
}
