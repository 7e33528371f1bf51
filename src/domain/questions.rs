//! Questions to the forge, asked as seldom as the operator allows. An answer is
//! remembered for a while; whoever asks the same while the question is under way
//! waits for that answer instead of asking again.
//!
//! How the merging stays honest: an answer counts for everybody who came before the
//! question was put, however short answers are remembered. So with remembering
//! switched off, nobody gets an answer that is older than their own request.

use super::ports::{ForgeError, Reply};
use crate::base::meter::{Counter, Counters};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Most answers remembered; a few hundred bytes each.
const SLOTS_MAX: usize = 20_000;
/// How long a token that the forge did not accept is not shown to it again.
const REFUSED_FOR: Duration = Duration::from_secs(30);

/// How long answers count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Freshness {
    /// While the forge can be asked.
    pub(super) answers: Duration,
    /// While it cannot.
    pub(super) grace: Duration,
}

/// How questions were answered, counted.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// By what was remembered, or by the answer that somebody else was waiting for.
    pub(super) known: Counter,
    /// By asking.
    pub(super) asked: Counter,
}

impl Tally {
    /// The tally of one kind of question; `counters` differ in the question and the result.
    pub(super) fn of(counters: &Counters, question: &str) -> Self {
        let counter = |result| counters.with_label_values(&[question, result]);
        Self { known: counter("known"), asked: counter("asked") }
    }
}

/// Answers of type `T` to questions of type `K`.
pub(super) struct Questions<K, T> {
    freshness: Freshness,
    tally: Tally,
    slots: Mutex<HashMap<K, Arc<Slot<T>>>>,
}

struct Slot<T> {
    /// Whether there is an answer, to be seen also while it is asked for anew.
    has_answer: AtomicBool,
    /// Whoever holds the lock asks; the others wait for it.
    known: tokio::sync::Mutex<Known<T>>,
}

struct Known<T> {
    answer: Option<Answer<T>>,
    failure: Option<Failure>,
}

struct Answer<T> {
    value: T,
    validator: Option<String>,
    asked: Instant,
}

struct Failure {
    error: ForgeError,
    asked: Instant,
    /// Until then it need not be tried again.
    until: Instant,
}

impl<K: Eq + Hash + Clone, T: Clone> Questions<K, T> {
    pub(super) fn new(freshness: Freshness, tally: Tally) -> Self {
        Self { freshness, tally, slots: Mutex::default() }
    }

    /// The answer to `question`: one that is known and fresh, or what `ask` brings. It
    /// is handed the validator of the answer that is known.
    pub(super) async fn answer<F: Future<Output = Result<Reply<T>, ForgeError>>>(
        &self,
        question: K,
        ask: impl FnOnce(Option<String>) -> F,
    ) -> Result<T, ForgeError> {
        let came = Instant::now();
        let slot = self.slot(question);
        let mut known = slot.known.lock().await;
        if let Some(outcome) = known.for_whoever(came, self.freshness) {
            self.tally.known.inc();
            return outcome;
        }
        self.tally.asked.inc();
        let asked = Instant::now();
        let validator = known.answer.as_ref().and_then(|answer| answer.validator.clone());
        let outcome = match ask(validator).await {
            Ok(reply) => known.learn(reply, asked),
            Err(error) => known.fail(error, asked, self.freshness),
        };
        slot.has_answer.store(known.answer.is_some(), Ordering::Relaxed);
        outcome
    }

    /// Whether there is an answer to `question`, however old, that nothing has refuted.
    pub(super) fn has_answered(&self, question: &K) -> bool {
        self.slots().get(question).is_some_and(|slot| slot.has_answer.load(Ordering::Relaxed))
    }

    /// Forgets the answers that `changed` points at, and those that are on their way.
    pub(super) fn forget(&self, changed: impl Fn(&T) -> bool) {
        self.slots().retain(|_, slot| match slot.known.try_lock() {
            Ok(known) => !known.answer.as_ref().is_some_and(|answer| changed(&answer.value)),
            Err(_under_way) => false,
        });
    }

    /// Forgets the answer to one question.
    pub(super) fn forget_one(&self, question: &K) {
        self.slots().remove(question);
    }

    fn slot(&self, question: K) -> Arc<Slot<T>> {
        let mut slots = self.slots();
        if slots.len() >= SLOTS_MAX && !slots.contains_key(&question) {
            let freshness = self.freshness;
            slots
                .retain(|_, slot| slot.known.try_lock().is_ok_and(|known| known.is_worth_keeping(freshness)));
            if slots.len() >= SLOTS_MAX {
                slots.clear();
            }
        }
        let nothing = || tokio::sync::Mutex::new(Known { answer: None, failure: None });
        let empty = || Arc::new(Slot { has_answer: AtomicBool::new(false), known: nothing() });
        Arc::clone(slots.entry(question).or_insert_with(empty))
    }

    /// A map of whole entries is whole whatever its last user died of.
    fn slots(&self) -> MutexGuard<'_, HashMap<K, Arc<Slot<T>>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Known<T> {
    /// What somebody who came at `came` may be told without asking.
    fn for_whoever(&self, came: Instant, freshness: Freshness) -> Option<Result<T, ForgeError>> {
        if let Some(answer) = &self.answer
            && (answer.asked >= came || answer.asked.elapsed() < freshness.answers)
        {
            return Some(Ok(answer.value.clone()));
        }
        let failure = self.failure.as_ref()?;
        (failure.asked >= came || failure.until > Instant::now()).then(|| self.despite(failure, freshness))
    }

    fn learn(&mut self, reply: Reply<T>, asked: Instant) -> Result<T, ForgeError> {
        self.failure = None;
        match (reply, &mut self.answer) {
            (Reply::Fresh { value, validator }, _) => {
                self.answer = Some(Answer { value: value.clone(), validator, asked });
                Ok(value)
            }
            (Reply::Unchanged, Some(answer)) => {
                answer.asked = asked;
                Ok(answer.value.clone())
            }
            (Reply::Unchanged, None) => {
                let cause = "it calls unchanged what was never known".to_owned();
                Err(ForgeError::Unavailable { retry_after: None, cause })
            }
        }
    }

    fn fail(&mut self, error: ForgeError, asked: Instant, freshness: Freshness) -> Result<T, ForgeError> {
        let wait = match &error {
            ForgeError::BadToken | ForgeError::Unsuitable(_) => REFUSED_FOR,
            ForgeError::Unavailable { retry_after: Some(wait), .. } => *wait,
            _ => Duration::ZERO,
        };
        if !matches!(error, ForgeError::Unavailable { .. }) {
            self.answer = None;
        }
        let failure = Failure { error, asked, until: Instant::now() + wait };
        let outcome = self.despite(&failure, freshness);
        self.failure = Some(failure);
        outcome
    }

    /// An old answer if the operator lets it count while the forge cannot be asked.
    fn despite(&self, failure: &Failure, freshness: Freshness) -> Result<T, ForgeError> {
        let unavailable = matches!(failure.error, ForgeError::Unavailable { .. });
        match &self.answer {
            Some(answer) if unavailable && answer.asked.elapsed() < freshness.grace => {
                Ok(answer.value.clone())
            }
            _ => Err(failure.remaining()),
        }
    }

    fn is_worth_keeping(&self, freshness: Freshness) -> bool {
        let longest = freshness.answers.max(freshness.grace);
        self.answer.as_ref().is_some_and(|answer| answer.asked.elapsed() < longest)
            || self.failure.as_ref().is_some_and(|failure| failure.until > Instant::now())
    }
}

impl Failure {
    /// The error, with the wait that is left.
    fn remaining(&self) -> ForgeError {
        match &self.error {
            ForgeError::Unavailable { retry_after: Some(_), cause } => {
                let left = self.until.saturating_duration_since(Instant::now());
                ForgeError::Unavailable { retry_after: Some(left), cause: cause.clone() }
            }
            other => other.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn questions(answers_secs: u64, grace_secs: u64) -> Questions<u8, u32> {
        let (answers, grace) = (Duration::from_secs(answers_secs), Duration::from_secs(grace_secs));
        let counters = crate::base::meter::counters("asked", "Asked.", &["question", "result"]);
        Questions::new(Freshness { answers, grace }, Tally::of(&counters, "test"))
    }

    fn fresh(value: u32) -> Result<Reply<u32>, ForgeError> {
        Ok(Reply::Fresh { value, validator: Some(format!("v{value}")) })
    }

    fn down() -> ForgeError {
        ForgeError::Unavailable { retry_after: None, cause: "down".to_owned() }
    }

    #[tokio::test]
    async fn a_thousand_who_ask_at_once_ask_once() {
        let (questions, asked) = (questions(60, 0), AtomicU32::new(0));
        let all = (0..1_000).map(|_| {
            questions.answer(1, async |_| {
                tokio::task::yield_now().await;
                fresh(asked.fetch_add(1, Ordering::Relaxed))
            })
        });
        assert!(join_all(all).await.iter().all(|answer| *answer == Ok(0)));
        assert_eq!(asked.into_inner(), 1);
    }

    #[tokio::test]
    async fn without_remembering_only_questions_under_way_are_shared() {
        let (questions, asked) = (questions(0, 0), AtomicU32::new(0));
        let ask = || questions.answer(1, async |_| fresh(asked.fetch_add(1, Ordering::Relaxed)));
        for number in 0..3 {
            assert_eq!(ask().await, Ok(number), "one after the other, each is asked");
        }
        asked.store(0, Ordering::Relaxed);
        let all = (0..1_000).map(|_| {
            questions.answer(2, async |_| {
                tokio::task::yield_now().await;
                fresh(asked.fetch_add(1, Ordering::Relaxed))
            })
        });
        join_all(all).await;
        assert!(asked.into_inner() <= 2);
    }

    #[tokio::test]
    async fn an_old_answer_counts_only_within_its_grace_and_only_in_need() {
        let strict = questions(0, 0);
        assert_eq!(strict.answer(1, async |_| fresh(7)).await, Ok(7));
        assert_eq!(strict.answer(1, async |_| Err(down())).await, Err(down()));
        let lenient = questions(0, 60);
        assert_eq!(lenient.answer(1, async |_| fresh(7)).await, Ok(7));
        assert_eq!(lenient.answer(1, async |_| Err(down())).await, Ok(7));
        assert_eq!(lenient.answer(1, async |_| Err(ForgeError::BadToken)).await, Err(ForgeError::BadToken));
        assert_eq!(lenient.answer(1, async |_| fresh(8)).await, Err(ForgeError::BadToken), "for a while");
    }

    #[tokio::test]
    async fn what_is_unchanged_is_fresh_again_and_what_is_forgotten_is_asked_anew() {
        let questions = questions(0, 0);
        assert_eq!(questions.answer(1, async |_| fresh(7)).await, Ok(7));
        let again = questions
            .answer(1, async |known| {
                assert_eq!(known.as_deref(), Some("v7"));
                Ok(Reply::Unchanged)
            })
            .await;
        assert_eq!(again, Ok(7));
        questions.forget(|value| *value == 7);
        let anew = questions.answer(1, async |known| {
            assert_eq!(known, None);
            fresh(8)
        });
        assert_eq!(anew.await, Ok(8));
    }

    #[tokio::test]
    async fn a_forge_that_names_a_time_is_left_alone_until_then() {
        let questions = questions(0, 0);
        let busy =
            ForgeError::Unavailable { retry_after: Some(Duration::from_secs(60)), cause: "limit".into() };
        assert!(questions.answer(1, async |_| Err(busy.clone())).await.is_err());
        let again = questions.answer(1, async |_| fresh(1)).await;
        assert!(matches!(again, Err(ForgeError::Unavailable { retry_after: Some(_), .. })), "{again:?}");
    }
}
