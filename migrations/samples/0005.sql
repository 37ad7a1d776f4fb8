-- A process died while it stepped this.
UPDATE operations SET crashes = 1 WHERE id = '019b7d5e-0000-7000-8000-000000000013';
