use super::*;

#[test]
fn a_subscription_is_answered_and_told_at_once() {
    let mut w = world();
    let what = watched(Package::Dialog, "1002");
    let seen = w.subscribe(request(1, what.clone(), None));
    assert_eq!(seen.accepted(), 3600);
    assert!(matches!(&seen.0[2], Effect::Watch(w) if *w == what), "{:?}", seen.0);
    assert!(seen.0.iter().any(|e| matches!(e, Effect::Arm(_, at) if *at == NOW.plus_secs(3600))));
    let first = seen.notify();
    assert_eq!((first.document.version, first.document.full, first.dialog.local_cseq), (0, true, 1));
    assert_eq!(first.state, Ok(3600));
    assert_eq!(first.document.items, Items::Dialogs(vec![]));
    assert!(w.answer(&first, 200).0.is_empty());
    // A change is told as a difference, and the end of a dialog as terminated.
    w.dialogs.borrow_mut().push(dialog("d1", DialogState::Early));
    let second = w.changed(&what).notify();
    assert_eq!((second.document.version, second.document.full), (1, false));
    assert_eq!(second.document.items, Items::Dialogs(vec![dialog("d1", DialogState::Early)]));
    let _ = w.answer(&second, 200);
    assert!(w.changed(&what).0.is_empty(), "nothing changed");
    w.dialogs.borrow_mut().clear();
    let third = w.changed(&what).notify();
    assert_eq!(third.document.items, Items::Dialogs(vec![dialog("d1", DialogState::Terminated)]));
    assert_eq!(third.dialog.local_cseq, 3);
}

#[test]
fn changes_melt_together_while_a_notify_is_open() {
    let mut w = world();
    let what = watched(Package::Dialog, "1002");
    let first = w.subscribe(request(1, what.clone(), Some(600))).notify();
    w.dialogs.borrow_mut().push(dialog("d1", DialogState::Early));
    assert!(w.changed(&what).notifies().is_empty());
    w.dialogs.borrow_mut()[0].state = DialogState::Confirmed;
    w.dialogs.borrow_mut().push(dialog("d2", DialogState::Trying));
    assert!(w.changed(&what).notifies().is_empty());
    let second = w.answer(&first, 200).notify();
    let want = vec![dialog("d1", DialogState::Confirmed), dialog("d2", DialogState::Trying)];
    assert_eq!(second.document.items, Items::Dialogs(want));
    // A late answer to the first one is of no account.
    assert!(w.answer(&first, 481).0.is_empty());
    assert_eq!(w.own.len(), 1);
}

#[test]
fn refresh_repeats_everything_and_follows_the_phone() {
    let mut w = world();
    let what = watched(Package::Dialog, "1002");
    let first = w.subscribe(request(1, what.clone(), Some(600))).notify();
    let _ = w.answer(&first, 200);
    w.now = NOW.plus_secs(300);
    let mut next = again(1, what.clone(), 2, Some(9000));
    next.flow = flow(2);
    next.dialog.remote_target = "sip:1001@elsewhere".into();
    let seen = w.subscribe(next);
    assert_eq!(seen.accepted(), 7200, "shortened to the longest");
    let told = seen.notify();
    assert_eq!((told.document.version, told.document.full), (1, true));
    assert_eq!((told.flow, &*told.dialog.remote_target), (flow(2), "sip:1001@elsewhere"));
    assert_eq!(&*told.dialog.local_tag, "ours1", "the dialog keeps its tag");
    // The entry of the first expiry does nothing, the one of the refresh ends it.
    w.now = NOW.plus_secs(700);
    let id = told.id;
    assert!(w.step(|own, env| own.timer(id, env)).0.is_empty());
    w.now = NOW.plus_secs(300 + 7200);
    let seen = w.step(|own, env| own.timer(id, env));
    assert_eq!(seen.notify().state, Err(Ended::Timeout));
    assert!(seen.0.iter().any(|e| matches!(e, Effect::Unwatch(w) if *w == what)));
    assert!(w.own.is_empty());
}

#[test]
fn zero_fetches_and_ends() {
    let mut w = world();
    let what = watched(Package::MessageSummary, "1001");
    w.messages.borrow_mut().new = 3;
    let seen = w.subscribe(request(1, what.clone(), Some(0)));
    assert_eq!(seen.accepted(), 0);
    let told = seen.notify();
    assert_eq!(told.state, Err(Ended::Timeout));
    assert_eq!(told.document.items, Items::Messages(MessageWaiting { new: 3, ..Default::default() }));
    assert!(w.own.is_empty(), "nothing stays of a fetch");
    let _ = w.subscribe(request(2, what.clone(), None));
    let seen = w.subscribe(again(2, what, 2, Some(0)));
    assert_eq!((seen.accepted(), seen.notify().state), (0, Err(Ended::Timeout)));
    assert!(w.own.is_empty());
}

#[test]
fn what_is_refused() {
    let mut w = world();
    let what = watched(Package::Dialog, "1002");
    assert_eq!(w.subscribe(request(1, what.clone(), Some(59))).refused(), Refusal::TooBrief { min: 60 });
    assert_eq!(w.subscribe(again(1, what.clone(), 2, None)).refused(), Refusal::Unknown);
    let _ = w.subscribe(request(1, what.clone(), None));
    // Another package, another id, another tag of the phone: another subscription.
    let other = watched(Package::Registration, "1002");
    assert_eq!(w.subscribe(again(1, other, 2, None)).refused(), Refusal::Unknown);
    let mut id = again(1, what.clone(), 2, None);
    id.event_id = Some("7".into());
    assert_eq!(w.subscribe(id).refused(), Refusal::Unknown);
    let mut tag = again(1, what.clone(), 2, None);
    tag.dialog.remote_tag = Some("other".into());
    assert_eq!(w.subscribe(tag).refused(), Refusal::Unknown);
    // Order, and the refusal of a refresh leaves it as it was.
    assert_eq!(w.subscribe(again(1, what.clone(), 1, None)).refused(), Refusal::OutOfOrder);
    assert_eq!(w.subscribe(again(1, what.clone(), 2, Some(5))).refused().status(), 423);
    assert_eq!(w.subscribe(again(1, what.clone(), 2, None)).accepted(), 3600);
    for n in 2..=4 {
        let _ = w.subscribe(request(n, what.clone(), None));
    }
    let full = w.subscribe(request(9, what, None)).refused();
    assert_eq!((full, full.status()), (Refusal::TooMany { limit: MAX }, 403));
}

#[test]
fn answers_that_end_a_subscription() {
    let what = watched(Package::Dialog, "1002");
    for status in [404, 405, 410, 480, 481, 489, 501, 604] {
        let mut w = world();
        let first = w.subscribe(request(1, what.clone(), None)).notify();
        let seen = w.answer(&first, status);
        assert!(seen.notifies().is_empty() && w.own.is_empty(), "{status}");
        assert!(seen.0.iter().any(|e| matches!(e, Effect::Unwatch(_))));
    }
    let mut w = world();
    let first = w.subscribe(request(1, what.clone(), None)).notify();
    let (id, number) = (first.id, first.number);
    let _ = w.step(|own, env| own.notified(id, number, Answered::Failed, env));
    assert!(w.own.is_empty(), "no answer ends it too");
    for status in [400, 401, 403, 500, 503] {
        let mut w = world();
        let first = w.subscribe(request(1, what.clone(), None)).notify();
        w.dialogs.borrow_mut().push(dialog("d1", DialogState::Early));
        assert!(w.answer(&first, status).0.is_empty(), "{status}: no loop");
        w.dialogs.borrow_mut().push(dialog("d2", DialogState::Early));
        assert!(w.changed(&what).notify().document.full, "{status}: what was lost is said again");
    }
}

#[test]
fn a_lost_connection_waits_for_the_phone() {
    let mut w = world();
    let what = watched(Package::Dialog, "1002");
    let first = w.subscribe(request(1, what.clone(), None)).notify();
    let _ = w.answer(&first, 200);
    let Flow::Stream { id, .. } = flow(1) else { unreachable!() };
    w.own.flow_lost(id);
    w.dialogs.borrow_mut().push(dialog("d1", DialogState::Early));
    assert!(w.changed(&what).notifies().is_empty());
    let told = w.step(|own, env| own.flow_back(flow(5), env)).notify();
    assert_eq!((told.flow, told.document.full), (flow(5), true));
    // What was on its way when the connection went is said again, and its failure is of no account.
    let Flow::Stream { id, .. } = flow(5) else { unreachable!() };
    w.own.flow_lost(id);
    let (lost, number) = (told.id, told.number);
    assert!(w.step(|own, env| own.notified(lost, number, Answered::Failed, env)).0.is_empty());
    let again = w.step(|own, env| own.flow_back(flow(6), env)).notify();
    assert_eq!((again.flow, again.document.full), (flow(6), true));
    assert_eq!(w.own.len(), 1);
}

#[test]
fn contacts_come_and_go_with_their_reasons() {
    let mut w = world();
    let what = watched(Package::Registration, "1001");
    let contact = |id: &str, secs: u64| ContactItem {
        id: id.into(),
        uri: format!("sip:1001@{id}").into(),
        until: NOW.plus_secs(secs),
        q: None,
    };
    let first = w.subscribe(request(1, what.clone(), None)).notify();
    assert_eq!(first.document.items, Items::Contacts { active: false, contacts: vec![] });
    let _ = w.answer(&first, 200);
    w.contacts.borrow_mut().extend([contact("a", 100), contact("b", 1000)]);
    let second = w.changed(&what).notify();
    let both = vec![(contact("a", 100), "registered"), (contact("b", 1000), "registered")];
    assert_eq!(second.document.items, Items::Contacts { active: true, contacts: both });
    let _ = w.answer(&second, 200);
    // A refresh alone is no news.
    w.contacts.borrow_mut()[1].until = NOW.plus_secs(2000);
    assert!(w.changed(&what).0.is_empty());
    w.now = NOW.plus_secs(100);
    w.contacts.borrow_mut().clear();
    let third = w.changed(&what).notify();
    let Items::Contacts { active: false, contacts } = third.document.items else { panic!() };
    assert_eq!(contacts.iter().map(|c| c.1).collect::<Vec<_>>(), ["expired", "unregistered"]);
}

#[test]
fn a_line_that_goes_and_a_phone_that_is_given_up_say_so() {
    let mut w = world();
    let (one, two) = (watched(Package::Dialog, "1002"), watched(Package::MessageSummary, "1001"));
    let _ = w.subscribe(request(1, one.clone(), None));
    let _ = w.subscribe(request(2, two.clone(), None));
    assert_eq!(w.own.watched().count(), 2);
    let told = w.step(|own, env| own.gone(&one, env)).notify();
    assert_eq!(told.state, Err(Ended::NoResource));
    let told = w.step(|own, env| own.give_up(env)).notify();
    assert_eq!(told.state.unwrap_err().as_str(), "deactivated");
    assert!(w.own.is_empty());
}
