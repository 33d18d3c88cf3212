//! Properties of all exchanges, all garbage, all requests and all uploads.

#[path = "properties/exchanges.rs"]
mod exchanges;
#[path = "properties/garbage.rs"]
mod garbage;
#[path = "properties/parsed.rs"]
mod parsed;
#[path = "properties/requests.rs"]
mod requests;
mod support;
#[path = "properties/uploads.rs"]
mod uploads;
#[path = "properties/world.rs"]
mod world;

use exchanges::{Exchange, exchanges, field, plain_field};
use garbage::{garbage, one_story, spoil, two_cuts};
use proptest::collection::vec;
use proptest::prelude::*;
use requests::{forwarded, names_the_origin_to_a_proxy, sent_as_given_or_refused, wild_request};
use uploads::upload_both_ways;
use world::{World, act};

fn config(cases: u32) -> ProptestConfig {
    // We turn a failure into a test or a case of the corpus, not into a seed that no one can read.
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn in_any_order_of_calls_each_response_arrives_as_it_was_sent(exchanges in exchanges(), acts in vec(act(), 0..120)) {
        let mut world = World::new(&exchanges);
        for act in acts {
            world.act(act);
        }
        world.go_on_to_the_end();
    }

    #[test]
    fn garbage_tells_one_story_however_it_is_cut(bytes in garbage(), end in any::<bool>(), cuts in two_cuts()) {
        one_story(&bytes, end, &cuts);
    }

    #[test]
    fn spoilt_responses_tell_one_story_however_they_are_cut(
        exchanges in exchanges(),
        spoiling in vec((any::<prop::sample::Index>(), spoil()), 1..4),
        end in any::<bool>(),
        cuts in two_cuts(),
    ) {
        let mut bytes: Vec<u8> = exchanges.iter().flat_map(Exchange::response_bytes).collect();
        for (index, spoil) in spoiling {
            let at = index.index(bytes.len().max(1));
            spoil.apply(&mut bytes, at);
        }
        one_story(&bytes, end, &cuts);
    }

    #[test]
    fn any_request_is_refused_or_sent_as_it_was_given(request in wild_request()) {
        sent_as_given_or_refused(&request);
    }

    #[test]
    fn any_request_names_its_origin_to_a_proxy(request in wild_request()) {
        names_the_origin_to_a_proxy(&request);
    }

    #[test]
    fn fields_of_a_response_can_be_sent_in_a_request(fields in vec(field(), 0..4), length in 0u64..9) {
        forwarded(&fields, length);
    }
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn an_upload_is_the_same_content_however_it_is_written(
        length in any::<bool>(),
        writes in vec(vec(any::<u8>(), 0..300), 0..6),
        big in prop::option::weighted(0.1, 60_000usize..140_000),
        trailers in vec(plain_field(), 0..3),
        takes in vec(0usize..400, 1..40),
    ) {
        let mut writes = writes;
        writes.extend(big.map(|size| (0..size).map(|at| at as u8).collect()));
        upload_both_ways(length, &writes, &trailers, &takes);
    }
}
