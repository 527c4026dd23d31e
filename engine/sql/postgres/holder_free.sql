-- Finish: lets go of everything that these intents hold; returns what.
delete from intendant.holder where intent_id = any ($1::uuid[]) returning resource
