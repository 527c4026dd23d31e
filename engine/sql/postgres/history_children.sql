-- One intent's children.
select c.step, c.name, c.child_id from intendant.child c where c.parent_id = $1::uuid order by c.child_id
