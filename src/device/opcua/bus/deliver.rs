//! What the server published, given to whom it belongs: values round by round, events as trees, results in their order.

use super::{Bus, Target};
use crate::device::opcua::convert::key;
use crate::device::opcua::fault::Fault;
use crate::device::opcua::fields::Kind;
use crate::device::opcua::joining;
use crate::device::opcua::session::Session;
use crate::device::opcua::slot::{Broken, EventTold, NodeSaid, Read};
use crate::device::opcua::subscribe::{Guard, Message, Published};
use crate::model::Moment;
use crate::record::What;
use crate::record::opcua::EventSaid;
use crate::wire::opcua::Tree;
use opcua::types::{
    DataChangeNotification, DataValue, EventFieldList, EventNotificationList, StatusChangeNotification, Variant,
};
use std::collections::HashMap;
use std::sync::Arc;

/// How something that the server said came.
#[derive(Clone, Copy)]
struct Came<'a> {
    guard: &'a Arc<Guard>,
    at: Moment,
    /// It was said before.
    again: bool,
}

impl Bus<'_> {
    /// Gives what was published to whom it belongs.
    pub(super) async fn take(&mut self, session: &Session, published: Published) -> Result<(), Broken> {
        let now = self.clock.now();
        if published.lost > 0 {
            tracing::warn!(address = %self.link.address, "{} messages of the server are lost", published.lost);
            for slot in &mut self.slots {
                slot.gap(None, None, now, self.reports).await?;
            }
        }
        for message in published.messages {
            self.deliver(session, message, now).await?;
        }
        Ok(())
    }

    async fn deliver(&mut self, session: &Session, message: Message, now: Moment) -> Result<(), Broken> {
        let came = Came {
            guard: &message.guard,
            at: now,
            again: message.again,
        };
        for said in message.said {
            if message.again && !said.inner_is::<EventNotificationList>() {
                // What is known of values is later; who looks at them takes again what could not be stored.
                continue;
            }
            if let Some(changes) = said.inner_as::<DataChangeNotification>() {
                let items = changes.monitored_items.as_deref().unwrap_or_default();
                let items: Vec<_> = items.iter().map(|item| (item.client_handle, &item.value)).collect();
                self.changed(session, &items, &message.guard, now).await?;
            } else if let Some(change) = said.inner_as::<StatusChangeNotification>() {
                return Err(Fault::service("the server ended the subscription", change.status).into());
            } else if let Some(events) = said.into_inner_as::<EventNotificationList>() {
                for event in events.events.unwrap_or_default() {
                    self.event(session, event, came).await?;
                }
            }
        }
        Ok(())
    }

    /// Values changed: one round for each further value of the same variable, so that none is passed over.
    async fn changed(
        &mut self,
        session: &Session,
        items: &[(u32, &DataValue)],
        guard: &Arc<Guard>,
        now: Moment,
    ) -> Result<(), Broken> {
        let mut rounds: Vec<Vec<Vec<NodeSaid>>> = self.slots.iter().map(|_| Vec::new()).collect();
        let mut turns: HashMap<u32, usize> = HashMap::new();
        let mut overflown: Vec<bool> = vec![false; self.slots.len()];
        for (handle, value) in items.iter().copied() {
            let (index, item) = match self.targets.get(&handle) {
                Some(Target::Value(index, item)) => (*index, item),
                Some(Target::Namespaces) => {
                    self.check_namespaces(value)?;
                    continue;
                }
                _ => continue,
            };
            let Some(slot) = self.slots.get(index) else { continue };
            if let (true, Some(flag)) = (
                value.status.is_some_and(|status| status.overflow()),
                overflown.get_mut(index),
            ) {
                *flag = true;
            }
            let said = slot.decode(session, &mut self.describer, &item.points, value).await?;
            let turn = turns.entry(handle).or_insert(0);
            if let Some(rounds) = rounds.get_mut(index) {
                while rounds.len() <= *turn {
                    rounds.push(Vec::new());
                }
                if let Some(round) = rounds.get_mut(*turn) {
                    round.extend(said);
                }
            }
            *turn += 1;
        }
        // Behind the descriptions of the types in it.
        if self.service.tap.is_used() {
            let said = items
                .iter()
                .filter_map(|(handle, value)| match self.targets.get(handle) {
                    Some(Target::Value(_, item)) => Some(self.describer.said(&item.node, value)),
                    _ => None,
                });
            let said: Vec<_> = said.collect();
            if !said.is_empty() {
                self.service.tap.send(What::Told(said));
            }
        }
        let since = self.heard;
        for ((slot, rounds), overflown) in self.slots.iter_mut().zip(rounds).zip(overflown) {
            if !rounds.is_empty() {
                slot.tell(rounds, now, since, guard);
            }
            slot.overflown(overflown, now, self.reports).await?;
        }
        Ok(())
    }

    fn check_namespaces(&self, value: &DataValue) -> Result<(), Broken> {
        let Some(Variant::Array(array)) = &value.value else {
            return Ok(());
        };
        let now = array.values.iter().map(|uri| match uri {
            Variant::String(uri) => uri.to_string(),
            _ => String::new(),
        });
        if now.eq(self.namespaces.iter().cloned()) {
            return Ok(());
        }
        Err(Fault::Ended("the server has other namespaces now; everything is looked up again".to_owned()).into())
    }

    async fn event(&mut self, session: &Session, event: EventFieldList, came: Came<'_>) -> Result<(), Broken> {
        let Came { guard, at: now, again } = came;
        let Some(Target::Notice(index, notice)) = self.targets.get(&event.client_handle).cloned() else {
            return Ok(());
        };
        let values = event.event_fields.unwrap_or_default();
        let Some(asked) = self.asked.get(&(index, notice)) else {
            return Ok(());
        };
        let kind = asked.kind(&values);
        match kind {
            Kind::Other => return Ok(()),
            Kind::Overflow => {
                if let Some(slot) = self.slots.get_mut(index) {
                    slot.gap(Some(notice), None, now, self.reports).await?;
                }
                return Ok(());
            }
            Kind::Wanted | Kind::Requested => {}
        }
        let (wanted, places) = (asked.wanted().map(key), asked.places().to_vec());
        let mut trees = Vec::with_capacity(values.len());
        let mut fault = None;
        for value in &values {
            match self.describer.tree(session, value).await? {
                Ok(tree) => trees.push(tree),
                Err(reason) => {
                    fault.get_or_insert(reason);
                    trees.push(Tree::Null);
                }
            }
        }
        // Behind the descriptions of the types in it.
        if let (true, Some(slot)) = (self.service.tap.is_used(), self.slots.get(index)) {
            let fields = places.iter().zip(&values);
            self.service.tap.send(What::Event(Box::new(EventSaid {
                slot: slot.name().to_string(),
                kind: wanted.map(|wanted| wanted.to_string()).unwrap_or_default(),
                fields: fields
                    .map(|(place, value)| self.describer.field(place, value))
                    .collect(),
                again: kind == Kind::Requested || again,
            })));
        }
        let fields = match fault {
            None => Ok(asked.tree(trees)),
            Some(reason) => Err(reason),
        };
        let raw = match &fields {
            Ok(_) => String::new(),
            Err(_) => self.describer.hex(&values),
        };
        let backfill = kind == Kind::Requested;
        let tree = match fields {
            Ok(tree) => tree,
            Err(reason) => {
                return self
                    .hear(session, index, notice, Err(reason), backfill, &raw, came)
                    .await;
            }
        };
        if again {
            return self.hear(session, index, notice, Ok(tree), backfill, "", came).await;
        }
        let result = joining::Held {
            notice,
            said: tree,
            guard: guard.clone(),
        };
        // What is missing before it is asked for first, where the server can tell it.
        let next = self.joining.heard(session, index, result, backfill, self.clock).await?;
        let (result, backfill) = match next {
            joining::Next::Live(result) => (Some(result), false),
            joining::Next::Fetched(result) => (Some(result), true),
            joining::Next::Waits => (None, false),
        };
        if let Some(result) = result {
            self.hear(session, index, notice, Ok(result.said), backfill, "", came)
                .await?;
        }
        self.release(session, index, now).await
    }

    /// Results that waited for others, and need not any more.
    pub(super) async fn release(&mut self, session: &Session, index: usize, now: Moment) -> Result<(), Broken> {
        let released = self.joining.release(index, self.clock);
        if released.missing > 0
            && let Some(slot) = self.slots.get_mut(index)
        {
            slot.gap(None, Some(released.missing), now, self.reports).await?;
        }
        for held in released.held {
            let came = Came {
                guard: &held.guard,
                at: now,
                again: false,
            };
            self.hear(session, index, held.notice, Ok(held.said), false, "", came)
                .await?;
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "all of one event, passed on once")]
    async fn hear(
        &mut self,
        session: &Session,
        index: usize,
        notice: u16,
        fields: Result<Tree, String>,
        backfill: bool,
        raw: &str,
        came: Came<'_>,
    ) -> Result<(), Broken> {
        let Some(slot) = self.slots.get_mut(index) else {
            return Ok(());
        };
        let mut reader = Read {
            session,
            describer: &mut self.describer,
            clock: self.clock,
        };
        let told = EventTold {
            seen: came.at,
            since: self.heard.filter(|_| !backfill && !came.again),
            backfill,
            raw,
            guard: came.guard,
        };
        slot.hear(&mut reader, notice, fields, told, self.reports).await
    }
}
