-- A child that failed can be asked for again: the new one says in whose place it stands, and a resume of the parent leaves
-- the old one as it is.
alter table intendant.child add column instead_of uuid;
create index child_instead_of on intendant.child (instead_of) where instead_of is not null;
