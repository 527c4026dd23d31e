-- Kinds: what is known of them, in the order of their names, each with how many live sessions know it: a walk through two small
-- tables, or one row by the primary key. 1 the kind, null for all; 2 after this one, null from the beginning; 3 how many.
select k.kind, k.queue, k.release_on_failure, k.conflicts, k.description, k.input_schema, k.deadline_us,
       (select count(distinct s.session_id) from intendant_session_kind s where s.kind = k.kind)
  from intendant_kind k
 where (?1 is null or k.kind = ?1) and (?2 is null or k.kind > ?2)
 order by k.kind limit ?3
