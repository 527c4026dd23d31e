-- Long work: how far a step got that has not ended yet, what it measured, what it logged. Written by those steps only that
-- have something to say.

-- The last safe point of a step without a result; its next attempt goes on from there. Goes with the result.
create table intendant_checkpoint (
  intent_id text not null,
  step text not null,
  generation integer not null,
  attempt integer not null,
  value text not null,
  at integer not null,
  worker text not null,
  primary key (intent_id, step, generation)
) strict;

-- What an attempt measured, beside its duration.
create table intendant_measure (
  intent_id text not null,
  step text not null,
  generation integer not null,
  attempt integer not null,
  name text not null,
  value real not null,
  at integer not null,
  primary key (intent_id, step, generation, attempt, name)
) strict, without rowid;

-- What an attempt logged, the last lines of it, and how much was cut before them.
create table intendant_log (
  intent_id text not null,
  step text not null,
  generation integer not null,
  attempt integer not null,
  -- An array of objects: us (since the attempt began), level, target, text.
  lines text not null,
  cut_lines integer not null,
  cut_bytes integer not null,
  at integer not null,
  worker text not null,
  primary key (intent_id, step, generation, attempt)
) strict;

create view intendant_checkpoints as
  select intent_id, step, generation, attempt, value, strftime('%Y-%m-%dT%H:%M:%fZ', at / 1e6, 'unixepoch') as at, worker
    from intendant_checkpoint;

-- Each with how long its attempt took, and how it failed, if it did.
create view intendant_measurements as
  select m.intent_id, i.kind, i.account, m.step, m.generation, m.attempt, m.name, m.value,
         strftime('%Y-%m-%dT%H:%M:%fZ', m.at / 1e6, 'unixepoch') as at,
         coalesce(a.finished_at - a.started_at, s.finished_at - s.started_at) / 1e6 as seconds, a.failure
    from intendant_measure m
    join intendant_intent i on i.id = m.intent_id
    left join intendant_attempt a on a.intent_id = m.intent_id and a.step = m.step and a.generation = m.generation
                                 and a.attempt = m.attempt
    left join intendant_step s on s.intent_id = m.intent_id and s.name = m.step and s.generation = m.generation
                              and s.attempt = m.attempt;

create view intendant_logs as
  select l.intent_id, l.step, l.generation, l.attempt, n.key + 1 as line, (n.value ->> 'us') / 1e6 as seconds,
         n.value ->> 'level' as level, n.value ->> 'target' as target, n.value ->> 'text' as text, l.cut_lines,
         l.cut_bytes, strftime('%Y-%m-%dT%H:%M:%fZ', l.at / 1e6, 'unixepoch') as at, l.worker
    from intendant_log l, json_each(l.lines) n;
