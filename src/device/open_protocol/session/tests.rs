//! A session without sockets: telegrams and time in, telegrams and reports out.

use super::*;
use crate::model::Raw;
use crate::model::plan::*;
use crate::model::sample::LinkState;
use crate::wire::open_protocol::encode_fields;
use std::collections::HashMap;
use std::sync::Arc;

fn link() -> OpenProtocolLink {
    OpenProtocolLink {
        address: "192.0.2.20:4545".to_owned(),
        transport: TelegramTransport::Tcp,
        timeout: Duration::from_secs(3),
        keep_alive: Duration::from_secs(10),
        results: ResultSource::Last,
        generic: false,
        acknowledge: Acknowledge::Own,
        revision: Revisions::default(),
        recover: Recover::None,
        station: None,
        spindle: None,
        big_endian_traces: false,
    }
}

fn plan(link: OpenProtocolLink, events: &[(&str, Said)]) -> SlotPlan {
    let points = ["tightening_id", "torque", "vin_number", "error_code"].map(|name| PointPlan {
        name: name.into(),
        at: Address::Field(name.into()),
        invalid: Vec::new(),
        deadband: None,
    });
    let event = |(name, said): &(&str, Said)| EventPlan {
        name: (*name).into(),
        triggers: vec![Trigger::Said(*said)],
        points: vec![0, 1],
        id: if *said == Said::Result { vec![0] } else { Vec::new() },
        ack: None,
        stable: 1,
        on_start: OnStart::Baseline,
        keep: Keep::Stored,
        ring: None,
        repeat: None,
        counted: false,
        fingerprint: "f".into(),
    };
    SlotPlan {
        slot: SlotName::new("st10", "a"),
        link: Link::OpenProtocol(link),
        points: points.to_vec(),
        events: events.iter().map(event).collect(),
        notices: Vec::new(),
        alive: None,
    }
}

/// A session, and all that came out of it.
struct Desk {
    session: Session,
    now: Moment,
    sent: Vec<Telegram>,
    samples: Vec<(i64, bool, Ticket)>,
    others: Vec<Report>,
    state: Option<(LinkState, String)>,
    closed: Option<(String, Again)>,
}

impl Desk {
    #[expect(clippy::needless_pass_by_value, reason = "a test hands its link over")]
    fn new(link: OpenProtocolLink) -> Self {
        Self::of(&link, &[("tightening", Said::Result)])
    }

    fn of(link: &OpenProtocolLink, events: &[(&str, Said)]) -> Self {
        let start = SlotStart {
            plan: Arc::new(plan(link.clone(), events)),
            states: HashMap::new(),
        };
        let mut desk = Self {
            session: Session::new(link, vec![start]),
            now: Moment::new(1_790_000_000_000, 1_000),
            sent: Vec::new(),
            samples: Vec::new(),
            others: Vec::new(),
            state: None,
            closed: None,
        };
        desk.session.connected(desk.now);
        desk.work();
        desk
    }

    /// Started and subscribed.
    fn up(link: OpenProtocolLink) -> Self {
        let mut desk = Self::new(link);
        desk.say(controller(6, false));
        desk.say(session::accepted(60));
        assert_eq!(desk.state, Some((LinkState::Online, String::new())));
        desk.sent.clear();
        desk
    }

    fn work(&mut self) {
        for out in self.session.take() {
            match out {
                Out::Send(telegram) => self.sent.push(telegram),
                Out::Close(reason, again) => self.closed = Some((reason, again)),
                Out::Report(Report::Sample(sample), Some(ticket)) => {
                    let id = sample.values[0].as_ref().and_then(super::super::results::number);
                    self.samples.push((id.unwrap_or(0), sample.backfill, ticket));
                }
                Out::Report(Report::Link { state, reason, .. }, _) => self.state = Some((state, reason)),
                Out::Report(Report::State { .. }, Some(ticket)) => self.session.answered(self.now, ticket, true),
                Out::Report(other, _) => self.others.push(other),
            }
        }
    }

    fn say(&mut self, telegram: Telegram) {
        self.session.heard(self.now, telegram);
        self.work();
        self.work();
    }

    /// Time passes, in steps as the session wants to be woken.
    fn pass(&mut self, millis: u64) {
        let end = self.now.tick + millis;
        while self.now.tick < end {
            let due = self.session.deadline().unwrap_or(end).clamp(self.now.tick + 1, end);
            self.now.wall += (due - self.now.tick).cast_signed();
            self.now.tick = due;
            self.session.tick(self.now);
            self.work();
        }
    }

    fn durable(&mut self) {
        for (_, _, ticket) in std::mem::take(&mut self.samples) {
            self.session.answered(self.now, ticket, true);
            self.work();
        }
    }

    fn mids(&mut self) -> Vec<u16> {
        std::mem::take(&mut self.sent).iter().map(Telegram::mid).collect()
    }
}

fn controller(revision: u16, layer: bool) -> Telegram {
    encode_fields(2, revision, &|name| match name {
        "sequence_number_support" => Some(Raw::Bool(layer)),
        "station_id" => Some(Raw::Int(1)),
        "controller_serial_number" => Some(Raw::Text("S1".to_owned())),
        _ => None,
    })
    .unwrap()
}

fn result(mid: u16, id: i64) -> Telegram {
    encode_fields(mid, 7, &|name| match name {
        "tightening_id" => Some(Raw::Int(id)),
        "station_id" => Some(Raw::Int(1)),
        _ => None,
    })
    .unwrap()
}

#[test]
fn silence_is_broken_by_a_keep_alive_and_its_mirror_need_not_be_the_same() {
    let mut desk = Desk::up(link());
    desk.pass(9_900);
    assert_eq!(desk.mids(), [0_u16; 0]);
    desk.pass(200);
    assert_eq!(desk.mids(), [9999]);
    desk.say(Telegram::parse(b"00209999001 0000    ").unwrap());
    desk.pass(10_000);
    assert_eq!(desk.mids(), [9999]);
    assert_eq!(desk.closed, None);
    // Nothing for 15 s: it is gone.
    desk.pass(6_000);
    let (reason, again) = desk.closed.unwrap();
    assert_eq!((&*reason, again), ("nothing came from it for 15 s", Again::BackOff));
}

#[test]
fn a_request_is_sent_three_times_and_then_the_connection_is_given_up() {
    let mut desk = Desk::new(link());
    assert_eq!(desk.mids(), [1]);
    desk.pass(8_900);
    assert_eq!(desk.mids(), [1, 1]);
    desk.pass(200);
    assert!(
        desk.closed
            .unwrap()
            .0
            .starts_with("MID 0001 was sent 3 times and not answered within 3s each")
    );
}

#[test]
fn a_refused_start_steps_down_and_says_so_when_nothing_is_left() {
    for code in [97, 74, 76, 79] {
        let mut desk = Desk::new(link());
        let mut asked = Vec::new();
        while desk.closed.is_none() {
            asked.extend(desk.sent.drain(..).map(|telegram| telegram.revision()));
            desk.say(session::refused(1, code, 1));
        }
        assert_eq!(asked, [6, 5, 4, 3, 2, 1], "{code}");
        let (reason, again) = desk.closed.unwrap();
        assert!(reason.contains("in none of its revisions"), "{reason}");
        assert_eq!(again, Again::Later);
    }
    for code in [16, 35, 96] {
        let mut desk = Desk::new(link());
        desk.say(session::refused(1, code, 1));
        assert!(desk.closed.unwrap().0.contains("another client is connected"), "{code}");
    }
}

#[test]
fn a_socket_that_is_closed_after_a_refusal_is_made_again_at_once() {
    let mut desk = Desk::new(link());
    desk.say(session::refused(1, 97, 1));
    desk.session.closed("closed".to_owned());
    desk.work();
    assert_eq!(desk.closed.take(), Some(("closed".to_owned(), Again::AtOnce)));
    // The next one closes without a word: that is no refusal.
    desk.session.connected(desk.now);
    desk.session.closed("closed".to_owned());
    desk.work();
    assert_eq!(desk.sent.last().map(Telegram::revision), Some(5));
    assert_eq!(desk.closed, Some(("closed".to_owned(), Again::BackOff)));
}

#[test]
fn what_was_agreed_on_is_asked_for_first_on_every_later_connection() {
    let mut link = link();
    link.recover = Recover::ById;
    let mut desk = Desk::new(link);
    let mut agreed = Vec::new();
    // It closes whenever it refuses a revision of anything; each time it is tried again at once.
    for round in 0..10 {
        let closes = desk.closed.is_some();
        desk.closed = None;
        if closes {
            desk.session.connected(desk.now);
            desk.work();
        }
        let mut refuses = false;
        for _ in 0..10 {
            let Some(asked) = desk.sent.pop() else { break };
            desk.sent.clear();
            agreed.push((asked.mid(), asked.revision()));
            refuses = asked.revision() > 5;
            if refuses {
                desk.say(session::refused(asked.mid(), 97, 1));
                desk.session.closed("closed".to_owned());
                desk.work();
                desk.sent.clear();
                break;
            }
            match asked.mid() {
                1 => desk.say(controller(5, false)),
                64 => desk.say(result(65, 4)),
                mid => desk.say(session::accepted(mid)),
            }
        }
        if let Some((_, again)) = &desk.closed {
            assert_eq!(*again, Again::AtOnce, "{round}");
        }
        if !refuses {
            desk.session.closed("cut".to_owned());
            desk.work();
            assert_eq!(desk.closed.as_ref().unwrap().1, Again::BackOff);
        }
    }
    let refused = agreed.iter().filter(|(_, revision)| *revision > 5).count();
    assert_eq!(
        refused,
        1 + 2 + 2,
        "0001, 0060 and 0064, once each revision: {agreed:?}"
    );
    assert_eq!(agreed.last_chunk(), Some(&[(1, 5), (64, 5), (60, 5), (64, 5)]));
}

#[test]
fn station_and_spindle_stand_in_every_header() {
    let mut link = link();
    (link.station, link.spindle) = (Some(3), Some(7));
    link.acknowledge = Acknowledge::Link;
    let mut desk = Desk::new(link);
    desk.say(controller(6, true));
    desk.say(crate::wire::open_protocol::link::ack(60, 1));
    desk.say(session::accepted(60).with_sequence(Some(1)));
    desk.pass(10_100);
    let header = |telegram: &Telegram| (telegram.header.station, telegram.header.spindle);
    assert!(desk.sent.iter().all(|telegram| header(telegram) == (Some(3), Some(7))));
    assert_eq!(desk.mids(), [1, 60, 9997, 9999]);
}

#[test]
fn answers_are_matched_by_mid_whatever_comes_between() {
    let mut desk = Desk::new(link());
    desk.say(controller(6, false));
    assert_eq!(desk.mids(), [1, 60]);
    desk.say(result(61, 5));
    desk.say(session::refused(18, 2, 1));
    desk.say(session::accepted(70));
    assert_eq!(
        (desk.samples.len(), desk.state.clone()),
        (1, None),
        "a result before 0005 counts"
    );
    desk.say(session::accepted(60));
    assert_eq!(desk.state, Some((LinkState::Online, String::new())));
}

#[test]
fn codes_that_mean_it_is_so_already_are_no_failure() {
    for code in [9, 92] {
        let mut desk = Desk::new(link());
        desk.say(controller(6, false));
        desk.say(session::refused(60, code, 1));
        assert_eq!(desk.state, Some((LinkState::Online, String::new())), "{code}");
    }
    let mut desk = Desk::new(link());
    desk.say(controller(6, false));
    desk.say(session::refused(60, 99, 1));
    let (state, reason) = desk.state.unwrap();
    assert_eq!(state, LinkState::Degraded);
    assert!(
        reason.starts_with("192.0.2.20:4545: the controller refuses its subscription to result (MID 0060)"),
        "{reason}"
    );
}

#[test]
fn identifiers_fall_back_to_the_other_message() {
    let mut desk = Desk::of(&link(), &[("scan", Said::Identifier)]);
    desk.say(controller(6, false));
    desk.say(session::refused(51, 97, 1));
    desk.say(session::refused(51, 97, 1));
    assert_eq!(desk.mids(), [1, 51, 51, 151]);
    desk.say(session::accepted(151));
    assert!(matches!(desk.state, Some((LinkState::Online, _))));
}

#[test]
fn generic_subscriptions_quote_the_data_or_the_verb() {
    for quoted in [61, 8] {
        let mut link = link();
        link.generic = true;
        let mut desk = Desk::new(link);
        desk.say(controller(6, false));
        let asked = session::asked(desk.sent.last().unwrap()).unwrap();
        assert_eq!((asked.mid, asked.revision), (61, 7));
        desk.say(session::refused(quoted, 74, 1));
        assert_eq!(session::asked(desk.sent.last().unwrap()).unwrap().revision, 6);
        desk.say(session::accepted(quoted));
        assert!(matches!(desk.state, Some((LinkState::Online, _))), "{quoted}");
    }
}

#[test]
fn the_acknowledgement_is_of_the_kind_that_is_wanted_and_after_all_is_durable() {
    for (acknowledge, mid) in [
        (Acknowledge::Own, 62),
        (Acknowledge::Accepted, 5),
        (Acknowledge::Link, 62),
    ] {
        let mut link = link();
        link.acknowledge = acknowledge;
        let mut desk = Desk::up(link);
        desk.say(result(61, 1));
        desk.say(result(61, 1));
        assert_eq!((desk.mids(), desk.samples.len()), (vec![], 1));
        desk.durable();
        assert_eq!(desk.mids(), [mid]);
        // Again some time after that: acknowledged at once, not taken, counted.
        desk.pass(1_000);
        desk.say(result(61, 1));
        assert_eq!((desk.mids(), desk.samples.len()), (vec![mid], 0));
        assert!(matches!(
            desk.others.as_slice(),
            [Report::Counted {
                what: Counted::Duplicate,
                ..
            }]
        ));
    }
}

#[test]
fn an_acknowledgement_that_takes_long_is_an_alarm_once_and_so_is_its_end() {
    let mut desk = Desk::up(link());
    let told = |desk: &mut Desk| -> Vec<bool> {
        let alarm = |report: Report| match report {
            Report::Alarm {
                code: "ack_slow",
                active,
                ..
            } => Some(active),
            _ => None,
        };
        std::mem::take(&mut desk.others).into_iter().filter_map(alarm).collect()
    };
    for (id, wait, expected) in [
        (1, 100, vec![]),
        (2, 1_200, vec![true]),
        (3, 1_300, vec![]),
        (4, 50, vec![false]),
    ] {
        desk.say(result(61, id));
        desk.pass(wait);
        desk.durable();
        assert_eq!(told(&mut desk), expected, "result {id} after {wait} ms");
    }
}

#[test]
fn what_nobody_takes_is_acknowledged_at_once() {
    let mut desk = Desk::up(link());
    desk.say(Telegram::new(52, 1).with_data("VIN                      "));
    assert_eq!((desk.mids(), desk.samples.len()), (vec![53], 0));
    let mut silent = Telegram::new(211, 1).with_data("10101011");
    silent.header.no_ack = true;
    desk.say(silent);
    assert_eq!(desk.mids(), [0_u16; 0], "it wants none");
}

#[test]
fn on_another_connection_what_is_durable_is_acknowledged_there_when_it_comes_again() {
    let mut desk = Desk::up(link());
    desk.say(result(61, 1));
    desk.session.lost(desk.now, "cut");
    desk.session.connected(desk.now);
    desk.work();
    desk.say(controller(6, false));
    desk.say(session::accepted(60));
    desk.sent.clear();
    desk.say(result(61, 1));
    assert_eq!((desk.mids(), desk.samples.len()), (vec![], 1));
    desk.durable();
    assert_eq!(desk.mids(), [62]);
}

#[test]
fn an_identifier_whose_acknowledgement_found_no_connection_is_not_taken_twice() {
    let mut desk = Desk::of(&link(), &[("scan", Said::Identifier)]);
    let scan = || Telegram::new(52, 1).with_data("VIN                      ");
    desk.say(controller(6, false));
    desk.say(session::accepted(51));
    desk.say(scan());
    desk.session.lost(desk.now, "cut");
    desk.durable();
    desk.session.connected(desk.now);
    desk.say(controller(6, false));
    desk.say(session::accepted(51));
    desk.say(scan());
    assert_eq!(desk.samples.len(), 0);
    // Read once more by the scanner: another event.
    desk.say(scan());
    assert_eq!(desk.samples.len(), 1);
}

#[test]
fn what_cannot_be_read_goes_to_quarantine_and_is_acknowledged_when_that_is_durable() {
    let mut desk = Desk::up(link());
    desk.say(Telegram::new(61, 2).with_data("01----"));
    assert_eq!((desk.mids(), desk.samples.len()), (vec![], 1));
    desk.durable();
    assert_eq!(desk.mids(), [62]);
}

#[test]
fn a_hold_ends_the_subscription_and_afterwards_all_begins_again() {
    let mut link = link();
    link.recover = Recover::ById;
    let mut desk = Desk::new(link);
    desk.say(controller(6, false));
    desk.say(result(65, 4));
    desk.say(session::accepted(60));
    desk.say(result(65, 4));
    assert!(matches!(desk.state, Some((LinkState::Online, _))), "{:?}", desk.state);
    desk.sent.clear();
    desk.say(result(61, 5));
    desk.pass(1_990);
    assert_eq!(desk.mids(), [0_u16; 0]);
    desk.pass(20);
    assert_eq!(desk.mids(), [63]);
    desk.say(session::accepted(63));
    desk.pass(10_000);
    assert_eq!(desk.mids(), [9999], "the session is kept alive");
    desk.say(session::keep_alive());
    desk.durable();
    assert_eq!(desk.mids(), [62, 64]);
    desk.say(result(65, 7));
    assert_eq!(desk.mids(), [64]);
    desk.say(result(65, 6));
    let found: Vec<_> = desk.samples.iter().map(|(id, backfill, _)| (*id, *backfill)).collect();
    assert_eq!(found, [(6, true), (7, true)]);
    assert_eq!(desk.mids(), [60]);
}

#[test]
fn a_recovery_that_is_not_answered_ends_the_connection_and_the_next_one_degrades() {
    let mut link = link();
    link.recover = Recover::ById;
    let mut desk = Desk::new(link);
    desk.say(controller(6, false));
    desk.say(result(65, 4));
    desk.say(session::accepted(60));
    desk.say(result(65, 4));
    desk.sent.clear();
    desk.say(result(61, 7));
    assert_eq!(desk.mids(), [64]);
    for _ in 0..3 {
        desk.pass(3_000);
        desk.say(session::keep_alive());
    }
    // Nothing is reported out of order; it is asked first on another connection.
    let (reason, again) = desk.closed.take().unwrap();
    assert_eq!((desk.samples.len(), again), (0, Again::BackOff), "{reason}");
    desk.session.lost(desk.now, "cut");
    desk.session.connected(desk.now);
    desk.work();
    desk.say(controller(6, false));
    desk.sent.clear();
    for _ in 0..3 {
        desk.pass(3_000);
        desk.say(session::keep_alive());
    }
    assert_eq!(desk.mids(), [64, 64, 60], "without what was missed");
    desk.say(session::accepted(60));
    desk.say(result(61, 7));
    let found: Vec<_> = desk.samples.iter().map(|(id, backfill, _)| (*id, *backfill)).collect();
    assert_eq!((found, &desk.closed), (vec![(7, false)], &None));
    assert!(matches!(desk.state, Some((LinkState::Degraded, _))), "{:?}", desk.state);
    desk.durable();
    desk.session.lost(desk.now, "cut");
    desk.session.connected(desk.now);
    desk.work();
    desk.say(controller(6, false));
    desk.sent.clear();
    desk.say(result(65, 7));
    assert_eq!(desk.mids(), [64], "from where it could not be fetched");
}

#[test]
fn the_answer_to_a_question_that_was_sent_twice_may_come_twice() {
    let mut link = link();
    link.recover = Recover::WalkBack;
    link.timeout = Duration::from_secs(1);
    let mut desk = Desk::new(link);
    desk.say(controller(6, false));
    desk.say(result(65, 4));
    desk.say(session::accepted(60));
    desk.say(result(65, 4));
    desk.say(result(61, 9));
    desk.pass(1_100);
    desk.say(result(65, 7));
    desk.say(result(65, 7));
    desk.say(result(65, 4));
    let found: Vec<_> = desk.samples.iter().map(|(id, backfill, _)| (*id, *backfill)).collect();
    assert_eq!(found, [(7, true), (9, false)]);
    assert_eq!(desk.others.len(), 0, "no gap");
}

#[test]
fn the_walk_back_may_answer_with_what_is_known() {
    let mut link = link();
    link.recover = Recover::WalkBack;
    let mut desk = Desk::new(link);
    desk.say(controller(6, false));
    desk.say(result(65, 4));
    desk.say(session::accepted(60));
    desk.say(result(65, 4));
    desk.say(result(61, 9));
    desk.say(result(65, 4));
    let found: Vec<_> = desk.samples.iter().map(|(id, backfill, _)| (*id, *backfill)).collect();
    assert_eq!(found, [(9, false)]);
}

#[test]
fn a_controller_that_does_not_know_0064_is_online_and_says_so() {
    let mut link = link();
    link.recover = Recover::WalkBack;
    let mut desk = Desk::new(link);
    desk.say(controller(6, false));
    desk.say(session::refused(64, 99, 1));
    desk.say(session::accepted(60));
    let (state, reason) = desk.state.unwrap();
    assert_eq!(state, LinkState::Online);
    assert!(reason.contains("refuses MID 0064"), "{reason}");
}

#[test]
fn the_revision_of_0064_steps_down_by_itself() {
    let mut link = link();
    link.recover = Recover::ById;
    let mut desk = Desk::new(link);
    desk.say(controller(6, false));
    desk.say(session::refused(64, 97, 1));
    let asked: Vec<_> = desk
        .sent
        .iter()
        .map(|telegram| (telegram.mid(), telegram.revision()))
        .collect();
    assert_eq!(asked, [(1, 6), (64, 7), (64, 6)]);
}

#[test]
fn another_controller_is_not_asked_for_what_the_old_one_made() {
    let mut link = link();
    link.recover = Recover::ById;
    let mut desk = Desk::new(link);
    desk.say(controller(6, false));
    desk.say(result(65, 4));
    desk.say(session::accepted(60));
    desk.say(result(65, 4));
    desk.session.lost(desk.now, "cut");
    desk.session.connected(desk.now);
    let other = encode_fields(2, 6, &|name| match name {
        "controller_serial_number" => Some(Raw::Text("S2".to_owned())),
        _ => None,
    });
    desk.say(other.unwrap());
    desk.sent.clear();
    desk.say(result(65, 900));
    assert_eq!(desk.mids(), [60], "the newest is where it begins");
    desk.say(session::accepted(60));
    desk.say(result(65, 900));
    desk.say(result(61, 901));
    let found: Vec<_> = desk.samples.iter().map(|(id, backfill, _)| (*id, *backfill)).collect();
    assert_eq!(found, [(901, false)]);
}

#[test]
fn with_the_link_layer_control_is_acknowledged_at_once_and_data_when_durable() {
    let mut link = link();
    link.acknowledge = Acknowledge::Link;
    let mut desk = Desk::new(link);
    desk.say(controller(6, true));
    assert_eq!(
        desk.sent
            .last()
            .map(|telegram| (telegram.mid(), telegram.header.sequence)),
        Some((60, Some(1)))
    );
    desk.say(crate::wire::open_protocol::link::ack(60, 1));
    desk.sent.clear();
    desk.say(session::accepted(60).with_sequence(Some(1)));
    assert_eq!(desk.mids(), [9997]);
    desk.say(result(61, 1).with_sequence(Some(2)));
    desk.say(result(61, 1).with_sequence(Some(2)));
    assert_eq!((desk.mids(), desk.samples.len()), (vec![], 1));
    desk.durable();
    let acknowledgement = desk.sent.pop().unwrap();
    assert_eq!(
        (acknowledgement.mid(), acknowledgement.header.sequence),
        (9997, Some(3))
    );
    desk.say(result(61, 1).with_sequence(Some(2)));
    assert_eq!((desk.mids(), desk.samples.len()), (vec![9997], 0));
    desk.say(result(61, 9).with_sequence(Some(9)));
    assert_eq!(desk.mids(), [9998]);
    assert!(desk.closed.is_some());
}

/// With the link layer, subscribed, and the look behind that not answered; 4 is known.
fn looking() -> Desk {
    let mut link = link();
    link.acknowledge = Acknowledge::Link;
    link.recover = Recover::ById;
    let mut desk = Desk::new(link);
    desk.say(controller(6, true));
    let ack = |mid, number| crate::wire::open_protocol::link::ack(mid, number);
    desk.say(ack(64, 1));
    desk.say(result(65, 4).with_sequence(Some(1)));
    desk.say(ack(60, 2));
    desk.say(session::accepted(60).with_sequence(Some(2)));
    desk.say(ack(64, 3));
    assert_eq!(desk.mids(), [1, 64, 9997, 60, 9997, 64]);
    desk
}

#[test]
fn with_the_link_layer_a_result_does_not_wait_for_an_answer_that_waits_for_it() {
    let mut desk = looking();
    desk.say(result(61, 5).with_sequence(Some(3)));
    assert_eq!((desk.mids(), desk.samples.len()), (vec![], 1));
    desk.durable();
    assert_eq!(desk.mids(), [9997]);
    desk.say(result(65, 5).with_sequence(Some(4)));
    assert_eq!((desk.mids(), desk.samples.len()), (vec![9997], 0));
    assert_eq!(
        (desk.state, desk.closed),
        (Some((LinkState::Online, String::new())), None)
    );
}

#[test]
fn with_the_link_layer_what_lies_before_a_result_is_fetched_on_another_connection() {
    let mut desk = looking();
    desk.say(result(61, 7).with_sequence(Some(3)));
    assert_eq!((desk.mids(), desk.samples.len()), (vec![], 0));
    let (reason, again) = desk.closed.take().unwrap();
    assert_eq!(again, Again::AtOnce, "{reason}");
    desk.session.connected(desk.now);
    desk.work();
    desk.say(controller(6, true));
    let ack = |mid, number| crate::wire::open_protocol::link::ack(mid, number);
    desk.say(ack(64, 1));
    desk.say(result(65, 7).with_sequence(Some(1)));
    desk.say(ack(64, 2));
    desk.say(session::refused(64, 15, 1).with_sequence(Some(2)));
    desk.say(ack(64, 3));
    desk.say(result(65, 6).with_sequence(Some(3)));
    let found: Vec<_> = desk.samples.iter().map(|(id, backfill, _)| (*id, *backfill)).collect();
    assert_eq!(found, [(6, true), (7, false)], "the last one as it came by itself");
    assert!(desk.others.iter().any(|report| matches!(report, Report::Gap { .. })));
    desk.durable();
    assert_eq!(desk.mids(), [1, 64, 9997, 64, 9997, 64, 9997, 60]);
    // The controller says it again: it is acknowledged, no more.
    desk.say(ack(60, 4));
    desk.say(session::accepted(60).with_sequence(Some(4)));
    desk.say(result(61, 7).with_sequence(Some(5)));
    assert_eq!((desk.samples.len(), desk.closed.as_ref()), (0, None));
    assert_eq!(desk.mids().last(), Some(&9997));
}

#[test]
fn with_the_link_layer_a_jump_is_looked_into_once() {
    let mut desk = looking();
    desk.say(result(61, 7).with_sequence(Some(3)));
    assert!(desk.closed.take().is_some());
    desk.session.connected(desk.now);
    desk.work();
    desk.say(controller(6, true));
    let ack = |mid, number| crate::wire::open_protocol::link::ack(mid, number);
    desk.say(ack(64, 1));
    // It remembers only what is acknowledged.
    desk.say(result(65, 4).with_sequence(Some(1)));
    desk.say(ack(60, 2));
    desk.say(session::accepted(60).with_sequence(Some(2)));
    desk.say(result(61, 7).with_sequence(Some(3)));
    assert_eq!((desk.samples.len(), desk.closed.as_ref()), (1, None));
}

#[test]
fn a_spindle_is_a_sample_and_the_telegram_is_acknowledged_when_all_are_durable() {
    let mut link = link();
    link.results = ResultSource::Multi;
    let mut desk = Desk::new(link);
    desk.say(controller(6, false));
    desk.say(session::accepted(100));
    desk.sent.clear();
    let multi = encode_fields(101, 1, &|name| match name {
        "spindle_count" => Some(Raw::Int(2)),
        "sync_tightening_id" => Some(Raw::Int(4)),
        _ => None,
    });
    desk.say(multi.unwrap());
    assert_eq!(desk.samples.len(), 2);
    let (_, _, first) = desk.samples.remove(0);
    desk.session.answered(desk.now, first, true);
    desk.work();
    assert_eq!(desk.mids(), [0_u16; 0]);
    desk.durable();
    assert_eq!(desk.mids(), [102]);
}

#[test]
fn any_telegrams_in_any_order_give_bounded_work_and_no_panic() {
    let mut random = 7_u64;
    let mut next = |below: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for round in 0..60_u64 {
        let mut link = link();
        link.recover = [Recover::None, Recover::ById, Recover::WalkBack][usize::try_from(round % 3).unwrap()];
        link.acknowledge = if round % 2 == 0 {
            Acknowledge::Link
        } else {
            Acknowledge::Own
        };
        let mut desk = Desk::new(link);
        for _ in 0..300 {
            let id = next(50).cast_signed();
            let telegram = match next(12) {
                0 => controller(6, round % 4 == 0),
                1 => session::accepted(u16::try_from(next(70)).unwrap()),
                2 => session::refused(u16::try_from(next(70)).unwrap(), u16::try_from(next(100)).unwrap(), 1),
                3 | 4 => result(61, id),
                5 | 6 => result(65, id),
                7 => session::keep_alive(),
                8 => Telegram::new(9997, 1).with_data("0060").with_sequence(Some(2)),
                9 => Telegram::new(u16::try_from(next(1_300)).unwrap(), 1).with_data("01x"),
                10 => result(61, id).with_sequence(Some(u8::try_from(next(4)).unwrap())),
                _ => {
                    let mut part = result(61, id);
                    (part.header.parts, part.header.part) = (3, u8::try_from(next(5)).unwrap());
                    part
                }
            };
            desk.say(telegram);
            desk.pass(next(1_500) + 1);
            assert!(desk.sent.len() < 400, "it talks too much");
            desk.sent.clear();
            if next(3) == 0 {
                desk.durable();
            }
            if desk.closed.take().is_some() {
                desk.session.lost(desk.now, "closed");
                desk.session.connected(desk.now);
                desk.work();
            }
        }
    }
}

#[test]
fn a_copy_that_crossed_its_acknowledgement_is_not_acknowledged_for_the_next_result() {
    let mut desk = Desk::up(link());
    desk.say(result(61, 1));
    // Sent once more while the first copy was being stored: one acknowledgement for both.
    desk.say(result(61, 1));
    desk.durable();
    assert_eq!(desk.mids(), [62]);
    // Sent once more before the acknowledgement was there; with it the next one is sent.
    desk.pass(20);
    desk.say(result(61, 1));
    desk.say(result(61, 2));
    assert_eq!(desk.mids(), [0_u16; 0], "result 2 is not durable");
    desk.durable();
    assert_eq!(desk.mids(), [62]);
    // The acknowledgement was lost: after its time-out the controller says it once more.
    desk.pass(1_000);
    desk.say(result(61, 2));
    assert_eq!(desk.mids(), [62]);
    assert!(desk.samples.is_empty());
}

#[test]
fn a_result_whose_gap_was_being_looked_for_when_the_line_broke_waits_for_the_next_connection() {
    let mut link = link();
    link.recover = Recover::ById;
    let mut desk = Desk::new(link);
    desk.say(controller(6, false));
    desk.say(result(65, 1));
    desk.say(session::accepted(60));
    desk.say(result(65, 1));
    assert_eq!(desk.state, Some((LinkState::Online, String::new())));
    desk.say(result(61, 2));
    let of_2 = std::mem::take(&mut desk.samples);
    // 3 and 4 are missing before it, and are asked for.
    desk.sent.clear();
    desk.say(result(61, 5));
    assert_eq!(desk.mids(), [64]);
    desk.session.closed("cut".to_owned());
    desk.work();
    desk.session.lost(desk.now, "cut");
    for (_, _, ticket) in of_2 {
        desk.session.answered(desk.now, ticket, true);
        desk.work();
    }
    assert!(desk.samples.is_empty(), "3 and 4 come first");
    desk.session.connected(desk.now);
    desk.say(controller(6, false));
    for id in [5, 3, 4] {
        desk.say(result(65, id));
    }
    let came: Vec<(i64, bool)> = desk.samples.iter().map(|(id, fetched, _)| (*id, *fetched)).collect();
    assert_eq!(came, [(3, true), (4, true), (5, true)]);
}
