//! The crate's hooks: a manager of nodes whose values stand in the simulator's store, the tree of types as event filters
//! see it, and who may log in.
//!
//! Owns no value. The traits are written without `async_trait`, which is no dependency of this package.

use super::Shared;
use super::table::Table;
use opcua::crypto::{SecurityPolicy, Thumbprint};
use opcua::nodes::{DefaultTypeTree, TypeProperty, TypeTree, TypeTreeNode};
use opcua::server::ServerEndpoint;
use opcua::server::address_space::AddressSpace;
use opcua::server::authenticator::{AuthManager, Password, UserToken, user_pass_security_policy_id};
use opcua::server::diagnostics::NamespaceMetadata;
use opcua::server::node_manager::memory::InMemoryNodeManagerImpl;
use opcua::server::node_manager::{
    MethodCall, ParsedReadValueId, RequestContext, ServerContext, TypeTreeForUser, TypeTreeForUserStatic,
    TypeTreeReadContext, WriteNode,
};
use opcua::sync::RwLock;
use opcua::types::{
    AttributeId, DataValue, Error, NodeClass, NodeId, NumericRange, QualifiedName, StatusCode, TimestampsToReturn,
    UserTokenPolicy, UserTokenType,
};
use std::pin::Pin;
use std::sync::Arc;

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Answers reads and writes out of the store.
pub(super) struct Nodes {
    pub(super) shared: Arc<Shared>,
    pub(super) table: Arc<Table>,
    pub(super) namespaces: Vec<NamespaceMetadata>,
}

impl InMemoryNodeManagerImpl for Nodes {
    fn init<'me, 'space, 'answer>(
        &'me self,
        _address_space: &'space mut AddressSpace,
        _context: ServerContext,
    ) -> Answer<'answer, ()>
    where
        'me: 'answer,
        'space: 'answer,
        Self: 'answer,
    {
        Box::pin(std::future::ready(()))
    }

    fn name(&self) -> &'static str {
        "simulated"
    }

    fn namespaces(&self) -> Vec<NamespaceMetadata> {
        self.namespaces.clone()
    }

    fn read_values<'me, 'context, 'space, 'list, 'node, 'answer>(
        &'me self,
        context: &'context RequestContext,
        address_space: &'space RwLock<AddressSpace>,
        nodes: &'list [&'node ParsedReadValueId],
        max_age: f64,
        timestamps_to_return: TimestampsToReturn,
    ) -> Answer<'answer, Vec<DataValue>>
    where
        'me: 'answer,
        'context: 'answer,
        'space: 'answer,
        'list: 'answer,
        'node: 'answer,
        Self: 'answer,
    {
        let space = address_space.read();
        // One look at the store: nobody sees half a result.
        let held = self.shared.values(&self.table, nodes.iter().map(|node| &node.node_id));
        let values = nodes
            .iter()
            .zip(held)
            .map(|(node, held)| {
                let Some(mut value) = held else {
                    return space.read(context, node, max_age, timestamps_to_return);
                };
                if let Err(status) = space.validate_node_read(context, node) {
                    return DataValue {
                        status: Some(status),
                        ..DataValue::null()
                    };
                }
                if node.index_range != NumericRange::None
                    && let Some(whole) = value.value.take()
                {
                    match whole.range_of(&node.index_range) {
                        Ok(part) => value.value = Some(part),
                        Err(status) => value.status = Some(status),
                    }
                }
                trim(&mut value, timestamps_to_return);
                value
            })
            .collect();
        Box::pin(std::future::ready(values))
    }

    fn write<'me, 'context, 'space, 'list, 'node, 'answer>(
        &'me self,
        context: &'context RequestContext,
        address_space: &'space RwLock<AddressSpace>,
        nodes_to_write: &'list mut [&'node mut WriteNode],
    ) -> Answer<'answer, Result<(), StatusCode>>
    where
        'me: 'answer,
        'context: 'answer,
        'space: 'answer,
        'list: 'answer,
        'node: 'answer,
        Self: 'answer,
    {
        for write in nodes_to_write {
            let status = {
                let mut space = address_space.write();
                let types = context.type_tree.read();
                let checked = space.validate_node_write(context, write.value(), &*types).map(|_| ());
                checked.and_then(|()| match write.value() {
                    one if one.attribute_id != AttributeId::Value => Err(StatusCode::BadNotWritable),
                    one if one.index_range != NumericRange::None => Err(StatusCode::BadWriteNotSupported),
                    _ => Ok(()),
                })
            };
            let status = status.and_then(|()| {
                let one = write.value();
                self.shared.written(&self.table, &one.node_id, &one.value)
            });
            write.set_status(status.map_or_else(|status| status, |()| StatusCode::Good));
        }
        Box::pin(std::future::ready(Ok(())))
    }

    #[expect(clippy::mut_mut, reason = "so it stands in the crate's trait")]
    fn call<'me, 'context, 'space, 'list, 'item, 'call, 'answer>(
        &'me self,
        _context: &'context RequestContext,
        _address_space: &'space RwLock<AddressSpace>,
        methods_to_call: &'list mut [&'item mut &'call mut MethodCall],
    ) -> Answer<'answer, Result<(), StatusCode>>
    where
        'me: 'answer,
        'context: 'answer,
        'space: 'answer,
        'list: 'answer,
        'item: 'answer,
        'call: 'answer,
        Self: 'answer,
    {
        for method in methods_to_call {
            match self.shared.called(&self.table, method.method_id(), method.arguments()) {
                Ok(outputs) => {
                    method.set_outputs(outputs);
                    method.set_status(StatusCode::Good);
                }
                Err(status) => method.set_status(status),
            }
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Leaves the timestamps that were asked for.
fn trim(value: &mut DataValue, wanted: TimestampsToReturn) {
    if !matches!(wanted, TimestampsToReturn::Source | TimestampsToReturn::Both) {
        value.source_timestamp = None;
    }
    if !matches!(wanted, TimestampsToReturn::Server | TimestampsToReturn::Both) {
        value.server_timestamp = None;
    }
}

/// Gives filters the tree of types as [`Inherited`].
pub(super) struct Types;

impl TypeTreeForUser for Types {
    fn get_type_tree_for_user<'a>(&'a self, context: &'a RequestContext) -> Box<dyn TypeTreeReadContext + 'a> {
        Box::new(Read(Inherited::new(context.type_tree.read())))
    }

    fn get_type_tree_static(&self, context: &RequestContext) -> Arc<dyn TypeTreeForUserStatic> {
        Arc::new(Held(context.type_tree.clone()))
    }
}

struct Held(Arc<RwLock<DefaultTypeTree>>);

impl TypeTreeForUserStatic for Held {
    fn get_type_tree<'a>(&'a self) -> Box<dyn TypeTreeReadContext + 'a> {
        Box::new(Read(Inherited::new(self.0.read())))
    }
}

struct Read<T>(Inherited<T>);

impl<T: std::ops::Deref<Target = DefaultTypeTree>> TypeTreeReadContext for Read<T> {
    fn get(&self) -> &dyn TypeTree {
        &self.0
    }
}

/// The crate's tree, but a type has the fields of its supertypes, too, and a field that none has is there and null.
/// Without that the crate drops a select clause that it does not know, and all fields behind it change places.
struct Inherited<T> {
    tree: T,
    object: TypeProperty,
    variable: TypeProperty,
}

impl<T> Inherited<T> {
    fn new(tree: T) -> Self {
        let property = |node_class| TypeProperty {
            node_id: NodeId::null(),
            node_class,
        };
        Self {
            tree,
            object: property(NodeClass::Object),
            variable: property(NodeClass::Variable),
        }
    }
}

impl<T: std::ops::Deref<Target = DefaultTypeTree>> TypeTree for Inherited<T> {
    fn is_subtype_of(&self, child: &NodeId, ancestor: &NodeId) -> bool {
        self.tree.is_subtype_of(child, ancestor)
    }

    fn get_node<'a>(&'a self, node: &NodeId) -> Option<TypeTreeNode<'a>> {
        self.tree.get_node(node)
    }

    fn get(&self, node: &NodeId) -> Option<NodeClass> {
        self.tree.get(node)
    }

    fn find_type_prop_by_browse_path(&self, type_id: &NodeId, path: &[QualifiedName]) -> Option<&TypeProperty> {
        self.tree.get(type_id)?;
        let mut of = Some(type_id);
        while let Some(id) = of {
            if let Some(found) = self.tree.find_type_prop_by_browse_path(id, path) {
                return Some(found);
            }
            of = self.tree.get_supertype(id);
        }
        Some(if path.is_empty() { &self.object } else { &self.variable })
    }

    fn get_supertype<'a>(&'a self, node: &NodeId) -> Option<&'a NodeId> {
        self.tree.get_supertype(node)
    }

    fn namespaces(&self) -> &opcua::types::NamespaceMap {
        DefaultTypeTree::namespaces(&self.tree)
    }
}

/// Lets in whom the setup names.
pub(super) struct Door(pub(super) Arc<Shared>);

impl Door {
    fn refuse(&self, why: &'static str) -> Error {
        self.0.refused();
        Error::new(StatusCode::BadUserAccessDenied, why)
    }
}

impl AuthManager for Door {
    fn authenticate_anonymous_token<'me, 'endpoint, 'answer>(
        &'me self,
        _endpoint: &'endpoint ServerEndpoint,
    ) -> Answer<'answer, Result<(), Error>>
    where
        'me: 'answer,
        'endpoint: 'answer,
        Self: 'answer,
    {
        let answer = if self.0.login().anonymous {
            self.0.let_in("");
            Ok(())
        } else {
            Err(self.refuse("nobody is not let in"))
        };
        Box::pin(std::future::ready(answer))
    }

    fn authenticate_username_identity_token<'me, 'endpoint, 'name, 'password, 'answer>(
        &'me self,
        _endpoint: &'endpoint ServerEndpoint,
        username: &'name str,
        password: &'password Password,
    ) -> Answer<'answer, Result<UserToken, Error>>
    where
        'me: 'answer,
        'endpoint: 'answer,
        'name: 'answer,
        'password: 'answer,
        Self: 'answer,
    {
        let answer = match self.0.login().users.get(username) {
            Some(wanted) if wanted.as_deref().is_none_or(|wanted| wanted == password.get()) => {
                self.0.let_in(username);
                Ok(UserToken(username.to_owned()))
            }
            _ => Err(self.refuse("unknown user, or another password")),
        };
        Box::pin(std::future::ready(answer))
    }

    fn authenticate_x509_identity_token<'me, 'endpoint, 'print, 'answer>(
        &'me self,
        _endpoint: &'endpoint ServerEndpoint,
        signing_thumbprint: &'print Thumbprint,
    ) -> Answer<'answer, Result<UserToken, Error>>
    where
        'me: 'answer,
        'endpoint: 'answer,
        'print: 'answer,
        Self: 'answer,
    {
        let answer = if self.0.login().certificates {
            let name = signing_thumbprint.as_hex_string();
            self.0.let_in(&name);
            Ok(UserToken(name))
        } else {
            Err(self.refuse("no certificate is let in"))
        };
        Box::pin(std::future::ready(answer))
    }

    fn user_token_policies(&self, endpoint: &ServerEndpoint) -> Vec<UserTokenPolicy> {
        let login = self.0.login();
        let policy = |id: &str, token_type, policy: Option<SecurityPolicy>| UserTokenPolicy {
            policy_id: id.into(),
            token_type,
            security_policy_uri: policy.map(|policy| policy.to_uri().into()).unwrap_or_default(),
            ..UserTokenPolicy::default()
        };
        let mut policies = Vec::new();
        if login.anonymous {
            policies.push(policy("anonymous", UserTokenType::Anonymous, None));
        }
        if !login.users.is_empty() {
            let id = user_pass_security_policy_id(endpoint);
            policies.push(policy(id.as_ref(), UserTokenType::UserName, None));
        }
        if login.certificates {
            let own = endpoint.security_policy();
            let signs = if own == SecurityPolicy::None {
                SecurityPolicy::Basic256Sha256
            } else {
                own
            };
            policies.push(policy("x509", UserTokenType::Certificate, Some(signs)));
        }
        policies
    }
}
