//! Contenders of a bench take turns: whatever the machine does meanwhile, it does to all of them.

/// How often each has its turn.
#[derive(Debug, Clone, Copy)]
pub struct Rounds {
    /// Rounds that come before those that count.
    pub warm_up: usize,
    /// Those that count.
    pub counted: usize,
}

/// Calls `one_round` for each contender in each round, told the round's number. Each comes first, and
/// after each other, equally often. Gives what it gave, contender by contender, without the warm-up.
pub fn in_turns<C, T>(
    contenders: &mut [C],
    rounds: Rounds,
    mut one_round: impl FnMut(&mut C, usize) -> T,
) -> Vec<Vec<T>> {
    let count = contenders.len();
    let mut all: Vec<Vec<T>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds.warm_up + rounds.counted {
        for turn in 0..count {
            let at = (round + turn) % count;
            let one = one_round(&mut contenders[at], round);
            if round >= rounds.warm_up {
                all[at].push(one);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_first_in_its_turn_and_the_warm_up_does_not_count() {
        let mut order = Vec::new();
        let rounds = Rounds { warm_up: 1, counted: 2 };
        let given = in_turns(&mut ["a", "b"], rounds, |contender, round| {
            order.push(*contender);
            format!("{contender}{round}")
        });
        assert_eq!(order, ["a", "b", "b", "a", "a", "b"]);
        assert_eq!(given, [["a1", "a2"], ["b1", "b2"]]);
    }
}
